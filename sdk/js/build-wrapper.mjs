/** Builds the `dist/` of the wrapper in whose folder it is run: its entries as ESM, and their types. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename } from 'node:path';
import { build } from 'esbuild';

const typescript = createRequire(import.meta.url).resolve('typescript/package.json');

rmSync('dist', { recursive: true, force: true });
await build({
  entryPoints: ['src/index.ts', 'src/server.ts'].filter((entry) => existsSync(entry)),
  outdir: 'dist',
  bundle: true,
  packages: 'external',
  external: ['./index.js'], // the server's entry names the browser's, and must not hold a copy of it
  format: 'esm',
  minify: true,
  target: 'es2020',
  legalComments: 'none',
  logLevel: 'warning',
});

execFileSync(process.execPath, [`${typescript}/../bin/tsc`, '-p', 'tsconfig.json'], { stdio: 'inherit' });
copyFileSync(`dist/types/${basename(process.cwd())}/src/index.d.ts`, 'dist/index.d.ts');
rmSync('dist/types', { recursive: true });
