/*
Numbers, sizes and times as people read them. The page speaks English, whatever the browser does.
*/

const numbers = new Intl.NumberFormat('en');

export const count = (n) => numbers.format(n);

export const counted = (n, noun) => `${count(n)} ${n === 1 ? noun : `${noun}s`}`;

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 ** 2) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

const digits = (n, width = 2) => String(n).padStart(width, '0');

export function minute(ms) {
  const time = new Date(ms);
  return `${digits(time.getHours())}:${digits(time.getMinutes())}`;
}

export const second = (ms) => `${minute(ms)}:${digits(new Date(ms).getSeconds())}`;

export const millisecond = (ms) => `${second(ms)}.${digits(new Date(ms).getMilliseconds(), 3)}`;

export const dateTime = (ms) => {
  const time = new Date(ms);
  return `${time.getFullYear()}-${digits(time.getMonth() + 1)}-${digits(time.getDate())} ${second(ms)}`;
};

export const perSecond = (rate) =>
  `${count(rate < 10 ? Number(rate.toFixed(1)) : Math.round(rate))} events/s`;

export function delay(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
