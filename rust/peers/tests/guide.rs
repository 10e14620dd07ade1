//! The programs of the guide "Coming from reqwest-eventsource", against a real server: the guide
//! shows what stands between its marks.

mod server;

// guide: uses
use std::error::Error;

use tailrace_core::adapters::{BodyData, Chunks, DeltaStream, EventError, EventStream};
use tailrace_core::{DeltaDecoder, DeltaKind, DeltaOptions, Dialect, End};
// guide: end

// guide: events
/// Says each event of a stream that the server ends.
async fn listen(client: &reqwest::Client, url: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let response = client.get(url).header("accept", "text/event-stream").send().await?;
    let response = response.error_for_status()?;
    let mut events = EventStream::new(Chunks::new(response.bytes_stream()));
    let mut said = Vec::new();
    while let Some(event) = events.next().await {
        let event = event?; // `EventError::Read` is reqwest's error, `EventError::Limit` ours
        said.push(format!("{}: {}", event.kind(), event.data));
    }
    Ok(said)
}
// guide: end

// guide: answer
/// The answer of a model, and the tools that it calls.
async fn ask(client: &reqwest::Client, url: &str) -> Result<(String, Vec<String>), Box<dyn Error>> {
    let question = r#"{"model": "mill", "stream": true, "messages": []}"#;
    let response = client.post(url).header("content-type", "application/json").body(question);
    let response = response.send().await?;
    // An error's body is read, too: what the service says of it becomes the error.
    let options = DeltaOptions { status: response.status().as_u16(), ..DeltaOptions::default() };
    let body = BodyData::new(reqwest::Body::from(response));
    let mut deltas = DeltaStream::new(body, DeltaDecoder::new(Dialect::OpenAi, options));

    let (mut answer, mut tools) = (String::new(), Vec::new());
    while let Some(delta) = deltas.next().await {
        match delta?.kind {
            DeltaKind::Text(text) => answer.push_str(&text),
            DeltaKind::ToolCall(piece) => tools.extend(piece.name),
            _ => {} // reasoning, a refusal, a signature
        }
    }
    assert!(matches!(deltas.decoder().end(), End::Done | End::Stopped));
    Ok((answer, tools))
}
// guide: end

// guide: again
/// Says each event, and connects again where the stream ends, until there are as many as wanted.
async fn follow(
    client: &reqwest::Client,
    url: &str,
    wanted: usize,
) -> Result<Vec<String>, Box<dyn Error>> {
    let (mut said, mut last_id) = (Vec::new(), String::new());
    let mut wait = std::time::Duration::from_secs(3);
    loop {
        let mut request = client.get(url).header("accept", "text/event-stream");
        if !last_id.is_empty() {
            request = request.header("last-event-id", &last_id);
        }
        let response = request.send().await?.error_for_status()?;
        if response.status() == 204 {
            return Ok(said); // the standard's word for "do not connect again"
        }
        let mut events = EventStream::new(Chunks::new(response.bytes_stream()));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => said.push(event.data),
                Err(EventError::Read(_)) => break, // the connection broke: go on with another
                Err(error) => return Err(error.into()), // too large, and would be again
            }
            if said.len() == wanted {
                return Ok(said);
            }
        }
        events.decoder().last_event_id().clone_into(&mut last_id);
        if let Some(milliseconds) = events.decoder().retry() {
            wait = std::time::Duration::from_millis(milliseconds);
        }
        tokio::time::sleep(wait).await;
    }
}
// guide: end

#[tokio::test]
async fn events_are_heard() {
    let url = server::start().await;
    let said = listen(&server::client(), &format!("{url}/tides")).await.unwrap();
    assert_eq!(said, ["tide: ebb", "message: flood"]);
    let refused = listen(&server::client(), &format!("{url}/nowhere")).await.unwrap_err();
    assert!(refused.to_string().contains("404"), "{refused}");
}

#[tokio::test]
async fn an_answer_is_read() {
    let url = server::start().await;
    let (answer, tools) = ask(&server::client(), &format!("{url}/chat")).await.unwrap();
    assert_eq!((answer.as_str(), &tools[..]), ("Let me see.", &["tide".to_owned()][..]));
    let failed = ask(&server::client(), &format!("{url}/full")).await.unwrap_err();
    assert_eq!(failed.to_string(), "slow down");
}

#[tokio::test]
async fn a_stream_that_ends_is_followed() {
    let url = server::start().await;
    let said = follow(&server::client(), &format!("{url}/log"), 3).await.unwrap();
    assert_eq!(said, ["after nothing", "and more", "after 2"]);
    // It has nothing behind the fourth, and says so.
    let said = follow(&server::client(), &format!("{url}/log"), 9).await.unwrap();
    assert_eq!(said, ["after nothing", "and more", "after 2", "and no more"]);
}
