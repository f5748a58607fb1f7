// The search runs in a worker. Browsers start no workers for pages opened as files, so there the
// worker's script runs in a hidden frame instead. The theme looks for the name IFrameWorker.
if (location.protocol === "file:") {
  window.Worker = window.IFrameWorker = class extends EventTarget {
    constructor(address) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      this.ready = new Promise((resolve) => {
        const start = () => {
          const inner = frame.contentWindow;
          inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          const script = inner.document.createElement("script");
          script.src = address;
          script.onload = () => resolve(inner);
          inner.document.head.append(script);
        };
        const attach = () => { document.body.append(frame); start(); };
        document.body ? attach() : addEventListener("DOMContentLoaded", attach);
      });
    }
    async postMessage(data) {
      const inner = await this.ready;
      inner.dispatchEvent(new inner.MessageEvent("message", { data }));
    }
  };
}
