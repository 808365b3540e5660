// Publishes one event over the HTTP gateway, and tells the verdict: dotnet run TYPE FILE [ID]

using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

const int Attempts = 8;
var url = Environment.GetEnvironmentVariable("GATEWAY_URL");
var source = Environment.GetEnvironmentVariable("GATEWAY_SOURCE")!;
var language = Environment.GetEnvironmentVariable("GATEWAY_LANGUAGE") ?? "vi";
using var client = new HttpClient { Timeout = TimeSpan.FromSeconds(60) };
client.DefaultRequestHeaders.Authorization =
    new AuthenticationHeaderValue("Bearer", Environment.GetEnvironmentVariable("GATEWAY_KEY"));
client.DefaultRequestHeaders.AcceptLanguage.ParseAdd(language);

var id = args.Length > 2 ? args[2] : Guid.NewGuid().ToString();
var cloudEvent = new JsonObject
{
    ["specversion"] = "1.0",
    ["id"] = id, // the same one over all attempts: nothing doubles
    ["source"] = source,
    ["type"] = $"portalbus.events.{args[0]}",
    ["data"] = JsonNode.Parse(await File.ReadAllTextAsync(args[1])),
};
var body = JsonSerializer.Serialize(cloudEvent);

using var answer = await Publish();
if (answer is null)
{
    Console.Error.WriteLine($"no answer for {id}");
    return 2;
}
var told = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;
if (answer.StatusCode != HttpStatusCode.Accepted)
{
    Console.WriteLine($"{(int)answer.StatusCode} {told["rule"]}");
    foreach (var error in told["errors"]!.AsArray())
    {
        Console.WriteLine($"  {error!["pointer"]}: {error["detail"]} {error["mend"]}");
    }
    return 1;
}
Console.WriteLine($"202 {told["key"]} sequence {told["sequence"]}");

var portal = source[(source.LastIndexOf('/') + 1)..];
var page = JsonNode.Parse(await client.GetStringAsync($"{url}/v1/verdicts?portal={portal}&event_id={id}&wait=30"))!;
var verdict = page["verdicts"]!.AsArray().LastOrDefault();
if (verdict is null)
{
    Console.Error.WriteLine($"no verdict on {id} yet");
    return 2;
}
Console.WriteLine($"verdict {verdict["status"]} {verdict["rule"]} {verdict["message"]!["vi"]}");
return (string?)verdict["status"] == "REJECTED" ? 1 : 0;

async Task<HttpResponseMessage?> Publish()
{
    for (var attempt = 0; attempt < Attempts; attempt++)
    {
        var pause = TimeSpan.FromSeconds(Math.Min(Math.Pow(2, attempt), 30));
        try
        {
            using var content = new StringContent(body, Encoding.UTF8, "application/cloudevents+json");
            var response = await client.PostAsync($"{url}/v1/events", content);
            if ((int)response.StatusCode < 500 && (int)response.StatusCode is not (408 or 429))
            {
                return response;
            }
            pause = response.Headers.RetryAfter?.Delta ?? pause;
            response.Dispose();
        }
        catch (Exception error) when (error is HttpRequestException or TaskCanceledException)
        {
            Console.Error.WriteLine($"{error.Message}; again in {pause.TotalSeconds} s");
        }
        await Task.Delay(pause);
    }
    return null;
}
