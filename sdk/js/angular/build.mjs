/** Builds `dist/`, the package as it is published. */
import { readFileSync, writeFileSync } from 'node:fs';
import { ngPackagr } from 'ng-packagr';

await ngPackagr().forProject('ng-package.json').withTsConfig('tsconfig.json').build();

// ng-packagr adds a dependency that the package does not have
const { dependencies: _, ...manifest } = JSON.parse(readFileSync('dist/package.json', 'utf8'));
writeFileSync('dist/package.json', `${JSON.stringify(manifest, null, 2)}\n`);
