// Where Chromium is; installs it where apt-get can.

import { existsSync } from "node:fs";
import { Help, step, which } from "./lib.mjs";
import { aptInstall } from "./setup.mjs";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";
const HELP = "Chromium is missing: the page is tested in it. Install it (Debian: chromium), or say where it is with CHROMIUM_BIN.";

export async function chromium() {
  const find = () => process.env.CHROMIUM_BIN || NAMES.map(which).find(Boolean) || (existsSync(MAC) ? MAC : undefined);
  if (!find()) {
    step("Installing Chromium, in which the page is tested");
    await aptInstall(["chromium", "fonts-noto-color-emoji"], HELP);
  }
  const path = find();
  if (!path) throw new Help(HELP);
  return path;
}
