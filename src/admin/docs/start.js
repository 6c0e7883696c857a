// Runs in the browser.
globalThis.SwaggerUIBundle({
  dom_id: '#docs',
  url: '../openapi.json',
  // Nothing is asked of anybody else, and no key outlives the page.
  validatorUrl: null,
  persistAuthorization: false,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
})
