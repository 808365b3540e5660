// Publishes one event over the HTTP gateway, and tells the verdict: node publish.mjs TYPE FILE [ID]
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const { GATEWAY_URL, GATEWAY_KEY, GATEWAY_SOURCE, GATEWAY_LANGUAGE = "vi" } = process.env;
const ATTEMPTS = 8;
const headers = { Authorization: `Bearer ${GATEWAY_KEY}`, "Accept-Language": GATEWAY_LANGUAGE };

/** Posts the event until somebody answers it; its id stays the same, so nothing doubles. */
async function publish(event) {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    let pause = Math.min(2 ** attempt, 30);
    try {
      const response = await fetch(`${GATEWAY_URL}/v1/events`, {
        method: "POST",
        headers: { ...headers, "Content-Type": "application/cloudevents+json" },
        body: JSON.stringify(event),
        signal: AbortSignal.timeout(30_000),
      });
      if (response.status < 500 && ![408, 429].includes(response.status)) {
        return [response.status, await response.json()];
      }
      pause = Number(response.headers.get("retry-after")) || pause;
    } catch (error) {
      console.error(`${error.message}; again in ${pause} s`);
    }
    await sleep(1_000 * pause);
  }
  return [0, null];
}

const [type, file, id = randomUUID()] = process.argv.slice(2);
const [status, answer] = await publish({
  specversion: "1.0",
  id,
  source: GATEWAY_SOURCE,
  type: `portalbus.events.${type}`,
  data: JSON.parse(await readFile(file, "utf8")),
});
if (status === 0) {
  console.error(`no answer for ${id}`);
  process.exit(2);
}
if (status !== 202) {
  console.log(`${status} ${answer.rule}`);
  for (const { pointer, detail, mend } of answer.errors) console.log(`  ${pointer}: ${detail} ${mend ?? ""}`);
  process.exit(1);
}
console.log(`202 ${answer.key} sequence ${answer.sequence}`);

const portal = GATEWAY_SOURCE.split("/").pop();
const question = new URLSearchParams({ portal, event_id: id, wait: "30" });
const page = await (await fetch(`${GATEWAY_URL}/v1/verdicts?${question}`, { headers })).json();
const verdict = page.verdicts?.at(-1);
if (!verdict) {
  console.error(`no verdict on ${id} yet`);
  process.exit(2);
}
console.log(`verdict ${verdict.status} ${verdict.rule} ${verdict.message.vi}`);
process.exit(verdict.status === "REJECTED" ? 1 : 0);
