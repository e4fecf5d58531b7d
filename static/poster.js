// The poster is on stage in the first paint: asked for before all else, and no module, so that nothing is waited for.
(() => {
  const address = new URLSearchParams(location.search);
  let avatar = address.get("avatar");
  let part = null; // what was shown of it the last time
  try {
    const last = JSON.parse(localStorage.getItem("avatar328.last") ?? "{}");
    avatar ??= last.avatar;
    const isSame = last.part?.avatar === (avatar || last.part?.avatar) && last.part?.aspect === (address.get("aspect") || last.aspect || "original");
    part = isSame ? last.part.style : null;
  } catch {
    // storage is switched off
  }
  const source = avatar ? `/avatar?avatar=${encodeURIComponent(avatar)}` : "/avatar";
  const link = document.createElement("link");
  document.head.append(Object.assign(link, { rel: "preload", as: "image", href: source, fetchPriority: "high" }));

  const show = () => {
    const stage = document.getElementById("stage");
    const poster = document.getElementById("poster");
    const fit = () => {
      const { naturalWidth: width, naturalHeight: height } = poster;
      if (width && height && !stage.style.getPropertyValue("--aspect")) stage.style.setProperty("--aspect", String(width / height));
    };
    for (const [name, value] of Object.entries(part ?? {})) stage.style.setProperty(name, value);
    poster.addEventListener("load", fit, { once: true });
    poster.addEventListener("error", () => (poster.hidden = true), { once: true });
    poster.src = source;
  };
  document.addEventListener("readystatechange", show, { once: true }); // the document is read, and no module has run
})();
