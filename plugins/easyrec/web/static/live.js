// Looks every two seconds whether something changed, and says so; slower when the tab is hidden or in trouble.
import { get } from "./api.js";

const EVERY = 2000;
const IN_TROUBLE = 5000;
const HIDDEN = 15000;

// ``refresh`` reads and shows everything that may have changed. ``trouble`` gets the error, or null when it is over.
// Returns a function that looks at once and shows everything anew.
export function follow(versionPath, refresh, trouble) {
  let shown = null;
  let wrong = false;
  let timer = null;
  let underWay = null; // one look at a time, and one timer: else each more would go on for ever

  async function look() {
    try {
      const { version } = await get(versionPath);
      if (version !== shown) {
        await refresh();
        shown = version; // read before: what came meanwhile is another version
      }
      if (wrong) trouble(null);
      wrong = false;
    } catch (error) {
      wrong = true;
      trouble(error);
    }
  }

  function now() {
    clearTimeout(timer);
    underWay ??= look().finally(() => {
      underWay = null;
      timer = setTimeout(now, document.hidden ? HIDDEN : wrong ? IN_TROUBLE : EVERY);
    });
    return underWay;
  }

  document.addEventListener("visibilitychange", () => document.hidden || now());
  now();
  return async () => {
    await underWay; // it may have begun before what is to be seen
    shown = null;
    return now();
  };
}
