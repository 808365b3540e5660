<?php
// A portal in one file, with nothing but PHP (8.1 or later), and the driver by which the kit examines it.
//
//   STATE=/var/lib/portal php -S 127.0.0.1:9000 driver.php
//
//   portalbus conformance --target http://127.0.0.1:9000/ --start "env STATE=/tmp/portal php -S 127.0.0.1:9000 driver.php"
//
// What a portal has to do is in `Sender`; what only the kit needs stands at the end. A portal with a database keeps
// the events in a table of it instead, and stores them in the transaction that changes the document.
declare(strict_types=1);

final class Sender
{
    private const TIMEOUT_SECONDS = 3;
    private const SHORTEST_PAUSE = 0.2;
    private const LONGEST_PAUSE = 2.0;
    private const TRY_AGAIN = [401, 408, 425, 429]; // of the 4xx; with 401 somebody has to mend the key first

    public function __construct(private string $folder)
    {
        foreach (['', '/kept', '/done'] as $part) {
            is_dir($folder . $part) || mkdir($folder . $part, 0700, true);
        }
    }

    /** Remembers where the gateway is; a restart finds it again. */
    public function connect(string $gateway, string $key, string $portal): void
    {
        $this->write('/settings.json', ['gateway' => $gateway, 'key' => $key, 'portal' => $portal]);
    }

    /** Keeps an event. The same reference is the same event: it gets the same id, and is kept once. */
    public function publish(string $reference, string $agency, string $type, mixed $data, ?string $correlation): void
    {
        $source = "/$agency/" . $this->read('/settings.json')['portal'];
        $event = ['specversion' => '1.0', 'id' => $this->id($reference), 'source' => $source, 'type' => $type, 'data' => $data];
        if ($correlation !== null) {
            $event['correlationid'] = $correlation;
        }
        $body = json_encode($event, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR);
        if (class_exists('Normalizer')) { // without the extension intl, the gateway does it
            $body = Normalizer::normalize($body, Normalizer::FORM_C);
        }
        $this->locked('/publish.lock', LOCK_EX, function () use ($reference, $body): void {
            if ($this->find($reference) === null) {
                $place = (int) ($this->read('/place.json')['last'] ?? 0) + 1;
                $this->write('/place.json', ['last' => $place]);
                $this->write(sprintf('/kept/%09d-%s.json', $place, sha1($reference)), ['body' => $body]);
            }
        });
    }

    /** Sends what is waiting, in order, until nothing is left or the bus is not well. Returns how many are left. */
    public function deliver(): int
    {
        $this->locked('/deliver.lock', LOCK_EX | LOCK_NB, function (): void { // one sender at a time keeps the order
            foreach ($this->kept() as $name) {
                if (microtime(true) < ($this->read('/pause.json')['not_before'] ?? 0.0) || !$this->send($name)) {
                    return;
                }
            }
        });
        return count($this->kept());
    }

    /** What became of an event: state, rule and path. */
    public function outcome(string $reference): array
    {
        $file = $this->find($reference);
        if ($file === null) {
            return ['state' => 'unknown'];
        }
        return str_starts_with($file, '/kept') ? ['state' => 'kept'] : $this->read($file)['outcome'];
    }

    /** Sends one event; true when the next one may go. */
    private function send(string $name): bool
    {
        $settings = $this->read('/settings.json');
        $context = stream_context_create(['http' => [
            'method' => 'POST',
            'header' => ['Content-Type: application/cloudevents+json', 'Authorization: Bearer ' . $settings['key'],
                'Accept-Language: vi', 'Connection: close'],
            'content' => $this->read("/kept/$name")['body'],
            'timeout' => self::TIMEOUT_SECONDS,
            'ignore_errors' => true,
        ]]);
        $answer = @file_get_contents($settings['gateway'] . '/v1/events', false, $context);
        [$status, $retryAfter] = $answer === false ? [0, null] : $this->head($http_response_header ?? []);
        if ($status >= 200 && $status < 300) {
            $this->settle($name, ['state' => 'delivered']);
        } elseif ($status >= 400 && $status < 500 && !in_array($status, self::TRY_AGAIN, true)) {
            $problem = json_decode($answer, true) ?? [];
            $this->settle($name, ['state' => 'refused', 'rule' => $problem['rule'] ?? null,
                'path' => $problem['errors'][0]['pointer'] ?? null]);
        } else { // 5xx, 429, or no answer: nobody knows whether it was taken, so it goes again, under its id
            return $this->wait($retryAfter);
        }
        $this->write('/pause.json', ['pause' => self::SHORTEST_PAUSE, 'not_before' => 0.0]);
        return true;
    }

    private function head(array $lines): array
    {
        $status = preg_match('~^HTTP/\S+ (\d{3})~', $lines[0] ?? '', $found) ? (int) $found[1] : 0;
        foreach ($lines as $line) {
            if (preg_match('~^Retry-After:\s*(\d+)\s*$~i', $line, $found)) {
                return [$status, (float) $found[1]];
            }
        }
        return [$status, null];
    }

    private function wait(?float $retryAfter): bool
    {
        $pause = $this->read('/pause.json')['pause'] ?? self::SHORTEST_PAUSE;
        $this->write('/pause.json', [
            'pause' => min($pause * 2, self::LONGEST_PAUSE),
            'not_before' => microtime(true) + ($retryAfter ?? $pause),
        ]);
        return false;
    }

    private function settle(string $name, array $outcome): void
    {
        $this->write("/done/$name", ['outcome' => $outcome]);
        unlink("$this->folder/kept/$name");
    }

    /** A UUID that is made of the portal's own name for the change, always the same. */
    private function id(string $reference): string
    {
        $hex = sha1("portal.example.vn\0" . $reference);
        $variant = dechex(hexdec($hex[16]) & 0x3 | 0x8);
        return sprintf('%s-%s-5%s-%s%s-%s', substr($hex, 0, 8), substr($hex, 8, 4), substr($hex, 13, 3), $variant,
            substr($hex, 17, 3), substr($hex, 20, 12));
    }

    private function find(string $reference): ?string
    {
        foreach (['/done', '/kept'] as $part) {
            $found = glob($this->folder . $part . '/*-' . sha1($reference) . '.json');
            if ($found) {
                return substr($found[0], strlen($this->folder));
            }
        }
        return null;
    }

    private function kept(): array
    {
        return array_values(array_filter(scandir("$this->folder/kept"), fn (string $name) => str_ends_with($name, '.json')));
    }

    private function read(string $file): array
    {
        $text = @file_get_contents($this->folder . $file);
        return $text === false ? [] : json_decode($text, true, 512, JSON_THROW_ON_ERROR);
    }

    /** Writes a file whole or not at all, and to the disk before it counts. */
    private function write(string $file, array $content): void
    {
        $path = $this->folder . $file;
        $handle = fopen("$path.new", 'w');
        fwrite($handle, json_encode($content, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR));
        fsync($handle);
        fclose($handle);
        rename("$path.new", $path);
    }

    private function locked(string $file, int $how, callable $work): void
    {
        $lock = fopen($this->folder . $file, 'c');
        if (flock($lock, $how)) {
            $work();
        }
        fclose($lock);
    }
}

// --- the driver: makes the portal do what the kit says, one step at a time ---

$step = json_decode(file_get_contents('php://input'), true);
$sender = new Sender(getenv('STATE') ?: __DIR__ . '/state');
$answer = match ($step['do'] ?? '') {
    'connect' => (function () use ($step, $sender): array {
        $sender->connect($step['gateway'], $step['api_key'], $step['portal']);
        return ['name' => 'driver.php', 'technology' => 'PHP ' . PHP_VERSION];
    })(),
    'publish' => (function () use ($step, $sender): array {
        $correlation = $step['correlation'] ?? null;
        $sender->publish($step['reference'], $step['agency'], $step['type'], $step['data'], $correlation);
        return ['state' => 'kept'];
    })(),
    'deliver' => ['waiting' => $sender->deliver()],
    'report' => $sender->outcome($step['reference']),
    default => null,
};
http_response_code($answer === null ? 501 : 200);
header('Content-Type: application/json');
echo json_encode($answer);
