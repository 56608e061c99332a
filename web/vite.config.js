import { svelte, vitePreprocess } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'

// The build lands inside the Python package, so that one wheel carries the whole product.
export default defineConfig({
  base: './',
  plugins: [svelte({ preprocess: vitePreprocess() })],
  build: { outDir: '../src/holdfast/webapp', emptyOutDir: true, chunkSizeWarningLimit: 700 },
})
