// The one place that joins markup templates to the renderer.
import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
