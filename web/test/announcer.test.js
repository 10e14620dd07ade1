// What a listener hears: whole sentences, seldom, and how it ended.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Announcer, sentenceEnd } from "../src/chat/announcer.js";

test("only whole sentences are said, and not more often than every four seconds", () => {
  const region = { textContent: "" };
  const announcer = new Announcer(region);
  announcer.begin(0);
  assert.equal(region.textContent, "Answering.");
  announcer.grow("One. Two", 1000);
  assert.equal(region.textContent, "Answering.");
  announcer.grow("One. Two", 4000);
  assert.equal(region.textContent, "One.");
  announcer.grow("One. Two. Three", 7999);
  assert.equal(region.textContent, "One.");
  announcer.grow("One. Two. Three", 8000);
  assert.equal(region.textContent, "Two.");
  announcer.end("One. Two. Three", "The answer is complete.");
  assert.equal(region.textContent, "Three The answer is complete.");
});

test("that the model thinks is said once", () => {
  const region = { textContent: "" };
  const announcer = new Announcer(region);
  announcer.begin(0);
  announcer.think();
  assert.equal(region.textContent, "Thinking.");
  region.textContent = "";
  announcer.think();
  assert.equal(region.textContent, "");
});

test("a long part is shortened", () => {
  const region = { textContent: "" };
  const announcer = new Announcer(region);
  announcer.begin(0);
  announcer.end("x".repeat(10_000), "The answer is complete.");
  assert.ok(region.textContent.length < 700);
  assert.ok(region.textContent.endsWith("… The answer is complete."));
});

test("sentences end where a reader pauses", () => {
  assert.equal(sentenceEnd("Is it? Yes", 0), 7);
  assert.equal(sentenceEnd("no end in sight", 0), 0);
  assert.equal(sentenceEnd("version 1.5 is", 0), 0);
  assert.equal(sentenceEnd("a line\nand", 0), 7);
});
