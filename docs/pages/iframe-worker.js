// Search in a site that is read from the disk, where a page may start no worker: a frame runs the
// worker's script in its place, and messages go to and fro as they would.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.srcdoc = "<body>"
      frame.onload = () => {
        const inside = frame.contentWindow
        inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
        const script = inside.document.createElement("script")
        script.src = url
        script.onload = () => {
          this.postMessage = data =>
            inside.dispatchEvent(new inside.MessageEvent("message", { data }))
          this.waiting.forEach(this.postMessage)
        }
        inside.document.body.append(script)
      }
      document.body.append(frame)
    }

    postMessage(data) {
      this.waiting.push(data)
    }
  }
  window.Worker = window.IFrameWorker
}
