// Takes out of the lock what points to places outside and pins nothing: who wants money, and why something is deprecated.
import { readFileSync, writeFileSync } from "node:fs";

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
for (const pinned of Object.values(lock.packages)) {
  delete pinned.funding;
  delete pinned.deprecated;
}
writeFileSync("package-lock.json", JSON.stringify(lock, null, 2) + "\n");
