// Light, dark or what the system says; set before the first paint, so this one file is no module.
(() => {
  const KEY = "avatar328.theme";
  const root = document.documentElement;
  const read = () => {
    try {
      return localStorage.getItem(KEY) ?? "auto";
    } catch {
      return "auto"; // storage is switched off: the choice lasts as long as the page
    }
  };
  const apply = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
  };
  let theme = read();
  apply(theme);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const names = { auto: "like the system", light: "light", dark: "dark" };
    const icons = { auto: "theme", light: "sun", dark: "moon" };
    const show = () => {
      button.setAttribute("aria-label", `Colours: ${names[theme]}. Change`);
      button.title = `Colours: ${names[theme]}`;
      button.firstElementChild.className = `icon icon-${icons[theme]}`;
      document.dispatchEvent(new Event("themechange"));
    };
    show();
    button.addEventListener("click", () => {
      theme = { auto: "light", light: "dark", dark: "auto" }[theme];
      apply(theme);
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // see above
      }
      show();
    });
  });
})();
