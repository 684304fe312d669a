/** Builds the example with React 18, run in its folder. */
import { fileURLToPath } from 'node:url';

const packages = fileURLToPath(new URL('node_modules', import.meta.url));

export default {
  resolve: { alias: { react: `${packages}/react`, 'react-dom': `${packages}/react-dom` } },
};
