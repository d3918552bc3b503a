const caps = document.getElementById("caps");
for (const name of ["keydown", "keyup"]) {
  document.getElementById("password").addEventListener(name, (event) => {
    caps.hidden = !event.getModifierState?.("CapsLock");
  });
}
