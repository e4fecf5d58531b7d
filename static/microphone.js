// A microphone as 16-bit samples. Browsers give one to pages at https or localhost only.

export const canListen = () => Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode);

export class Microphone {
  /** @param {function(Int16Array)} onsamples */
  constructor(onsamples) {
    this._onsamples = onsamples;
    this._context = null;
    this._stream = null;
  }

  /** @returns {Promise<number>} its rate, Hz; rejected when nobody lets us listen */
  async open() {
    const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    this._stream = await navigator.mediaDevices.getUserMedia({ audio });
    try {
      this._context = new AudioContext();
      await this._context.audioWorklet.addModule(new URL("./microphone_worklet.js", import.meta.url));
      const heard = new AudioWorkletNode(this._context, "heard", { numberOfOutputs: 0 });
      heard.port.onmessage = ({ data }) => this._stream && this._onsamples(data);
      this._context.createMediaStreamSource(this._stream).connect(heard);
      await this._context.resume();
    } catch (error) {
      this.close();
      throw error;
    }
    return this._context.sampleRate;
  }

  close() {
    this._stream?.getTracks().forEach((track) => track.stop());
    this._stream = null;
    this._context?.close().catch(() => {});
  }
}
