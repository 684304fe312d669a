/** Builds `dist/`: the ESM bundles, the script, its stub, and the types. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const { version } = JSON.parse(readFileSync(`${here}package.json`, 'utf8'));
const typescript = createRequire(import.meta.url).resolve('typescript/package.json');

const common = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  target: 'es2017',
  define: { VERSION: JSON.stringify(version) },
  mangleProps: /^_[a-z]/, // what begins so is ours, and never leaves the bundle
  legalComments: 'none',
  logLevel: 'warning',
};

rmSync(`${here}dist`, { recursive: true, force: true });
mkdirSync(`${here}dist`);
await Promise.all([
  build({ ...common, format: 'esm', entryPoints: ['src/index.ts', 'src/server.ts'], outdir: 'dist' }),
  build({ ...common, format: 'iife', entryPoints: ['src/script.ts'], outfile: 'dist/trackmate.js' }),
  build({ ...common, target: 'es5', entryPoints: ['src/stub.js'], outfile: 'dist/trackmate.stub.js' }),
]);

execFileSync(process.execPath, [`${typescript}/../bin/tsc`, '-p', `${here}tsconfig.types.json`], { stdio: 'inherit' });
for (const name of ['index', 'api']) copyFileSync(`${here}dist/types/${name}.d.ts`, `${here}dist/${name}.d.ts`);
rmSync(`${here}dist/types`, { recursive: true });
