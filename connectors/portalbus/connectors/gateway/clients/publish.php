<?php
// Publishes one event over the HTTP gateway, and tells the verdict: php publish.php TYPE FILE [ID]
declare(strict_types=1);

const ATTEMPTS = 8;

/** Asks the gateway; gives the status (0 when nobody answered), the headers and the JSON. */
function ask(string $method, string $path, ?string $body = null): array
{
    $headers = [
        'Authorization: Bearer ' . getenv('GATEWAY_KEY'),
        'Accept-Language: ' . (getenv('GATEWAY_LANGUAGE') ?: 'vi'),
        'Connection: close',
    ];
    if ($body !== null) {
        $headers[] = 'Content-Type: application/cloudevents+json';
    }
    $context = stream_context_create(['http' => [
        'method' => $method,
        'header' => implode("\r\n", $headers),
        'content' => $body ?? '',
        'ignore_errors' => true, // an error's body says what is wrong
        'timeout' => 60,
        'follow_location' => 0,
    ]]);
    $text = @file_get_contents(getenv('GATEWAY_URL') . $path, false, $context);
    if ($text === false) {
        return [0, [], null];
    }
    $head = $http_response_header ?? [];
    $status = (int) explode(' ', $head[0] ?? 'HTTP/1.1 0')[1];
    return [$status, $head, json_decode($text, true)];
}

/** Seconds to wait before the next attempt: what Retry-After says, else a little longer each time. */
function pause(array $head, int $attempt): int
{
    foreach ($head as $line) {
        if (preg_match('/^retry-after:\s*(\d+)/i', $line, $found)) {
            return min((int) $found[1], 60);
        }
    }
    return min(2 ** $attempt, 30);
}

function uuid(): string
{
    $bytes = random_bytes(16);
    $bytes[6] = chr(ord($bytes[6]) & 0x0f | 0x40);
    $bytes[8] = chr(ord($bytes[8]) & 0x3f | 0x80);
    return vsprintf('%s%s-%s-%s-%s-%s%s%s', str_split(bin2hex($bytes), 4));
}

[, $type, $file] = $argv;
$id = $argv[3] ?? uuid();
$event = json_encode([
    'specversion' => '1.0',
    'id' => $id, // the same one over all attempts: nothing doubles
    'source' => getenv('GATEWAY_SOURCE'),
    'type' => "portalbus.events.$type",
    'data' => json_decode(file_get_contents($file), false, 512, JSON_THROW_ON_ERROR),
], JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR);

for ($attempt = 0; $attempt < ATTEMPTS; $attempt++) {
    [$status, $head, $answer] = ask('POST', '/v1/events', $event);
    if ($status !== 0 && $status !== 408 && $status !== 429 && $status < 500) {
        break;
    }
    sleep(pause($head, $attempt));
}
if ($status === 202) {
    echo "202 {$answer['key']} sequence {$answer['sequence']}\n";
} elseif ($status >= 400 && $status < 500) {
    echo "$status {$answer['rule']}\n";
    foreach ($answer['errors'] as $error) {
        echo "  {$error['pointer']}: {$error['detail']} {$error['mend']}\n";
    }
    exit(1);
} else {
    fwrite(STDERR, "no answer for $id\n");
    exit(2);
}

$portal = basename(getenv('GATEWAY_SOURCE'));
[$status, , $page] = ask('GET', "/v1/verdicts?portal=$portal&event_id=$id&wait=30");
$verdict = $status === 200 ? end($page['verdicts']) : false;
if ($verdict === false) {
    fwrite(STDERR, "no verdict on $id yet\n");
    exit(2);
}
echo "verdict {$verdict['status']} {$verdict['rule']} {$verdict['message']['vi']}\n";
exit($verdict['status'] === 'REJECTED' ? 1 : 0);
