// The address that `pulse up` prints carries the key behind a #: it is never sent to a server as part of an address.
// Take it out of the history at once and exchange it for a session.
const key = new URLSearchParams(location.hash.slice(1)).get("key");
if (location.hash) history.replaceState(null, "", location.pathname + location.search);
if (key) {
  const form = document.querySelector("form.sign-in");
  form.elements.key.value = key;
  form.submit();
}
