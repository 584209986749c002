// Helpers for scripts that drive the page.

/** Waits until the page shows the verdict on the current text and settings. */
export async function answered(page) {
  await page.waitForFunction(() => {
    const { sent, answered } = document.querySelector("#verdict").dataset;
    return sent !== undefined && sent === answered;
  });
}

/** Replaces the whole text by pasting another one. */
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
