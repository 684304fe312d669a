/** Prints how many bytes the package adds to an app: linked as the app's build does it, minified, `gzip -9`. */
import { gzipSync } from 'node:zlib';
import linker from '@angular/compiler-cli/linker/babel';
import { transformFileAsync } from '@babel/core';
import { transform } from 'esbuild';

const linked = await transformFileAsync('dist/fesm2022/trackmate-angular.mjs', {
  plugins: [linker],
  configFile: false,
  compact: false,
});
const { code } = await transform(linked.code, {
  format: 'esm',
  minify: true,
  target: 'es2022',
  define: { ngDevMode: 'false', ngJitMode: 'false' },
});
console.log(gzipSync(code, { level: 9 }).length);
