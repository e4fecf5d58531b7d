// The poster is on stage in the first paint: no module, so that nothing is waited for.
(() => {
  let avatar = new URLSearchParams(location.search).get("avatar");
  try {
    avatar ??= JSON.parse(localStorage.getItem("avatar328.last") ?? "{}").avatar;
  } catch {
    // storage is switched off
  }
  const poster = document.getElementById("poster");
  const fit = () => {
    const { naturalWidth: width, naturalHeight: height } = poster;
    if (width && height) document.getElementById("stage").style.setProperty("--aspect", String(width / height));
  };
  poster.addEventListener("load", fit, { once: true });
  poster.addEventListener("error", () => (poster.hidden = true), { once: true });
  poster.src = avatar ? `/avatar?avatar=${encodeURIComponent(avatar)}` : "/avatar";
})();
