// Publishes one event over the HTTP gateway, and tells the verdict: java Publish.java TYPE FILE [ID]

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.UUID;
import java.util.regex.Pattern;

/** In binary mode the data are the body and the rest goes into headers, so that no JSON has to be written. */
public final class Publish {
    private static final int ATTEMPTS = 8;
    private static final String URL = System.getenv("GATEWAY_URL");
    private static final String SOURCE = System.getenv("GATEWAY_SOURCE");
    private static final HttpClient CLIENT =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(5)).build();

    public static void main(String[] arguments) throws Exception {
        String type = arguments[0];
        byte[] data = Files.readAllBytes(Path.of(arguments[1]));
        String id = arguments.length > 2 ? arguments[2] : UUID.randomUUID().toString();

        HttpResponse<String> answer = publish(type, data, id);
        if (answer == null) {
            System.err.println("no answer for " + id);
            System.exit(2);
        }
        System.out.println(answer.statusCode() + " " + answer.body());
        if (answer.statusCode() != 202) {
            System.exit(1);
        }
        String portal = SOURCE.substring(SOURCE.lastIndexOf('/') + 1);
        String question = URL + "/v1/verdicts?portal=" + portal + "&event_id=" + id + "&wait=30";
        String page = CLIENT.send(request(question).GET().build(), HttpResponse.BodyHandlers.ofString()).body();
        String status = text(page, "status");
        if (status == null) {
            System.err.println("no verdict on " + id + " yet");
            System.exit(2);
        }
        System.out.println("verdict " + status + " " + text(page, "rule"));
        System.exit("REJECTED".equals(status) ? 1 : 0);
    }

    /** Posts the event until somebody answers it; its id stays the same, so nothing doubles. */
    private static HttpResponse<String> publish(String type, byte[] data, String id) throws InterruptedException {
        HttpRequest post = request(URL + "/v1/events")
                .header("Content-Type", "application/json")
                .header("ce-specversion", "1.0")
                .header("ce-id", id)
                .header("ce-source", SOURCE)
                .header("ce-type", "portalbus.events." + type)
                .POST(HttpRequest.BodyPublishers.ofByteArray(data))
                .build();
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            long pause = Math.min(1L << attempt, 30);
            try {
                HttpResponse<String> answer = CLIENT.send(post, HttpResponse.BodyHandlers.ofString());
                int status = answer.statusCode();
                if (status < 500 && status != 408 && status != 429) {
                    return answer;
                }
                pause = answer.headers().firstValueAsLong("Retry-After").orElse(pause);
            } catch (IOException error) {
                System.err.println(error + "; again in " + pause + " s");
            }
            Thread.sleep(Duration.ofSeconds(pause).toMillis());
        }
        return null;
    }

    private static HttpRequest.Builder request(String address) {
        String language = System.getenv().getOrDefault("GATEWAY_LANGUAGE", "vi");
        return HttpRequest.newBuilder(URI.create(address))
                .timeout(Duration.ofSeconds(60))
                .header("Authorization", "Bearer " + System.getenv("GATEWAY_KEY"))
                .header("Accept-Language", language);
    }

    /** The last text of this name; the JDK has no JSON of its own, so an application uses the parser it has. */
    private static String text(String json, String name) {
        var found = Pattern.compile("\"" + name + "\":\\s*\"([^\"]*)\"").matcher(json);
        String last = null;
        while (found.find()) {
            last = found.group(1);
        }
        return last;
    }
}
