// Looks every two seconds whether something changed, and says so; slower when the tab is hidden or in trouble.
import { get } from "./api.js";

const EVERY = 2000;
const SLOW = 15000;

// ``refresh`` returns the version that it has shown. ``trouble`` gets the error, or null when it is over.
export function follow(versionPath, refresh, trouble) {
  let shown = null;
  let wrong = false;
  let timer = null;

  async function look() {
    let pause = EVERY;
    try {
      const { version } = await get(versionPath);
      if (version !== shown) shown = await refresh();
      if (wrong) trouble(null);
      wrong = false;
    } catch (error) {
      wrong = true;
      pause = SLOW / 3;
      trouble(error);
    }
    timer = setTimeout(look, document.hidden ? SLOW : pause);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    clearTimeout(timer);
    look();
  });
  const again = () => {
    shown = null;
    clearTimeout(timer);
    return look();
  };
  look();
  return again;
}
