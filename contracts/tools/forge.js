// Where forge is: the program itself, since npm's wrapper around it ends with 0 whatever has failed.
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const packages = join(dirname(fileURLToPath(import.meta.url)), "..", "node_modules", "@foundry-rs");

export const forge = join(packages, readdirSync(packages).find((name) => name.startsWith("forge-")), "bin", "forge");
