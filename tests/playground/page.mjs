// What every script does with the page.

/** Waits until what is shown is of the text and the settings as they are. */
export async function answered(page) {
  await page.waitForFunction(() => {
    const { asked, answered } = document.querySelector("#verdict").dataset;
    return asked !== undefined && asked === answered;
  });
}

/** Puts a text in the place of all that is there, as somebody pastes it. */
export async function paste(page, pasted) {
  await page.locator(".cm-content").focus();
  await page.keyboard.press("Control+a");
  await page.evaluate((pasted) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", pasted);
    const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
    document.querySelector(".cm-content").dispatchEvent(event);
  }, pasted);
}
