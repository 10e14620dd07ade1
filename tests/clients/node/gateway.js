// The gateway that with_gateway.py runs beside the tests, and a model of a site with each API.

export const url = process.env.TAILRACE_GATEWAY;
export const baseURL = `${url}/v1`;
export const apiKey = process.env.TAILRACE_GATEWAY_KEY;

export const models = {
  openai: "openai/gpt-4o",
  responses: "answers/gpt-4o",
  anthropic: "anthropic/claude-sonnet-4-6",
  gemini: "gemini/gemini-2.5-flash",
  ollama: "ollama/llama3.2:latest",
};

export const RESULT = "12 m, rising";
