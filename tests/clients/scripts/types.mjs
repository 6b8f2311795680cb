// Compares what arrived with the types that an SDK declares: a program that says "this is one of those" is compiled.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * What the compiler has against it, "" if nothing. `values` has the objects by the name of their type; a field that
 * the type does not have is an error too, except `penstock`, which is ours on purpose. With `nullIsAbsent` an optional field may be null, as
 * OpenAI's service has it, against its own types; a required one may not.
 */
export function misfits(imports, values, { nullIsAbsent = false } = {}) {
  const lines = [imports];
  for (const [type, objects] of Object.entries(values)) {
    for (const { penstock, ...object } of objects) {
      const shown = JSON.stringify(object, (_, value) => (nullIsAbsent && value === null ? undefined : value));
      lines.push(`(): ${type} => (${shown});`);
    }
  }
  const folder = mkdtempSync(join(import.meta.dirname, "types-"));
  const program = join(folder, "seen.ts");
  writeFileSync(program, lines.join("\n"));
  const options = "--noEmit --strict --skipLibCheck --target es2022 --module nodenext --types".split(" ");
  try {
    execFileSync(join(import.meta.dirname, "node_modules/.bin/tsc"), [...options, "", program], { encoding: "utf8" });
    return "";
  } catch (error) {
    return error.stdout || String(error);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The class of an SDK's error, and what it holds. */
export async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return {
      class: error.constructor.name,
      status: error.status ?? null,
      type: error.type ?? null,
      request_id: error.requestID ?? null,
      message: error.message,
    };
  }
  return { class: "none" };
}

/** The value of `look`, as soon as it is one. */
export async function until(look) {
  for (;;) {
    const found = await look();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 100));
  }
}

export async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}
