//! What every row costs in instructions, counted by Valgrind: `make bench-instructions`.
#![allow(missing_docs, reason = "the macros make public functions")]

mod workloads;

use std::hint::black_box;

use gungraun::{
    Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use workloads::{Done, ROWS, Row};

fn made(name: &str) -> Row {
    let Some((_, make)) = ROWS.iter().find(|(known, _)| *known == name) else {
        unreachable!("there is no row {name}")
    };
    make()
}

#[library_benchmark(setup = made, teardown = Done::check)]
#[bench::sse_w1_event("sse_w1_event")]
#[bench::sse_w1_1400("sse_w1_1400")]
#[bench::sse_w1_64k("sse_w1_64k")]
#[bench::sse_stream_w1_1400("sse_stream_w1_1400")]
#[bench::sse_stream_w1_64k("sse_stream_w1_64k")]
#[bench::openai_w1_event("openai_w1_event")]
#[bench::openai_w1_64("openai_w1_64")]
#[bench::openai_w1_1400("openai_w1_1400")]
#[bench::openai_w1_64k("openai_w1_64k")]
#[bench::openai_w1o_1400("openai_w1o_1400")]
#[bench::openai_w1i_1400("openai_w1i_1400")]
#[bench::openai_w2_1400("openai_w2_1400")]
#[bench::openai_w3_1400("openai_w3_1400")]
#[bench::openai_w4_1400("openai_w4_1400")]
#[bench::openai_w4p_1400("openai_w4p_1400")]
#[bench::openai_large_64("openai_large_64")]
#[bench::openai_large_64_x4("openai_large_64_x4")]
#[bench::openai_stream_w1_1400("openai_stream_w1_1400")]
#[bench::openai_stream_w2_1400("openai_stream_w2_1400")]
#[bench::openai_stream_thoughts_1400("openai_stream_thoughts_1400")]
#[bench::openai_stream_reasoning_1400("openai_stream_reasoning_1400")]
#[bench::openai_stream_details_1400("openai_stream_details_1400")]
#[bench::openai_stream_arguments_1400("openai_stream_arguments_1400")]
#[bench::openai_thoughts_1400("openai_thoughts_1400")]
#[bench::responses_stream_w1_1400("responses_stream_w1_1400")]
#[bench::responses_stream_summary_1400("responses_stream_summary_1400")]
#[bench::responses_stream_arguments_1400("responses_stream_arguments_1400")]
#[bench::anthropic_stream_w1_1400("anthropic_stream_w1_1400")]
#[bench::anthropic_stream_thinking_1400("anthropic_stream_thinking_1400")]
#[bench::anthropic_stream_arguments_1400("anthropic_stream_arguments_1400")]
#[bench::ai_power_w1_1400("ai_power_w1_1400")]
#[bench::ai_power_assistant_1400("ai_power_assistant_1400")]
#[bench::ai_power_w5("ai_power_w5")]
#[bench::ai_power_w5p("ai_power_w5p")]
#[bench::ai_engine_1400("ai_engine_1400")]
#[bench::encode_chunks("encode_chunks")]
#[bench::encode_chunks_of_any_kind("encode_chunks_of_any_kind")]
#[bench::encode_completions("encode_completions")]
#[bench::encode_response("encode_response")]
#[bench::encode_response_x4("encode_response_x4")]
#[bench::encode_message("encode_message")]
#[bench::text_1400("text_1400")]
#[bench::page_bot_whole("page_bot_whole")]
#[bench::page_bot_16k("page_bot_16k")]
#[bench::page_everything("page_everything")]
#[bench::page_captured_bot("page_captured_bot")]
#[bench::page_captured_everything("page_captured_everything")]
#[bench::page_bytewise("page_bytewise")]
#[bench::page_bytewise_x4("page_bytewise_x4")]
#[bench::page_64("page_64")]
#[bench::page_64_x4("page_64_x4")]
#[bench::page_less_than("page_less_than")]
#[bench::page_less_than_x4("page_less_than_x4")]
#[bench::page_open_tags("page_open_tags")]
#[bench::page_open_tags_x4("page_open_tags_x4")]
#[bench::page_open_quotes("page_open_quotes")]
#[bench::page_open_quotes_x4("page_open_quotes_x4")]
#[bench::page_attributes_64("page_attributes_64")]
#[bench::page_attributes_64_x4("page_attributes_64_x4")]
#[bench::page_long_attribute("page_long_attribute")]
#[bench::page_long_attribute_x4("page_long_attribute_x4")]
#[bench::page_open_comment("page_open_comment")]
#[bench::page_open_comment_x4("page_open_comment_x4")]
#[bench::page_comment_flood("page_comment_flood")]
#[bench::page_comment_flood_x4("page_comment_flood_x4")]
#[bench::page_end_tag_flood("page_end_tag_flood")]
#[bench::page_end_tag_flood_x4("page_end_tag_flood_x4")]
#[bench::page_escape_flood("page_escape_flood")]
#[bench::page_escape_flood_x4("page_escape_flood_x4")]
#[bench::sign_100("sign_100")]
#[bench::sign_1k("sign_1k")]
#[bench::sign_100k("sign_100k")]
#[bench::sign_1m("sign_1m")]
fn row(row: Row) -> Done {
    black_box(black_box(row).done())
}

library_benchmark_group!(name = rows, benchmarks = row);
main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = rows
);
