/** Runs one test file on the sources: `node run.mjs ids.test.ts`. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

const here = new URL('.', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'trackmate-'));
const outfile = join(folder, 'test.mjs');
await build({
  absWorkingDir: here,
  entryPoints: [process.argv[2]],
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  define: { VERSION: '"test"' },
  sourcemap: 'inline',
  logLevel: 'warning',
});
const { status } = spawnSync(process.execPath, ['--enable-source-maps', '--test-reporter=spec', '--test', outfile], {
  stdio: 'inherit',
});
rmSync(folder, { recursive: true });
process.exitCode = status ?? 1;
