import { millis } from "./time.js";

export const serverClock = ({ now, sent_at, received_at }) => {
  const offset = millis(now) - (sent_at + received_at) / 2;
  return { now: () => performance.now() + offset, error: Math.abs(received_at - sent_at) / 2 };
};
