//! Drives the unmodified whatsapp-rust crate by JSON lines; tests/interop/README.md has the contract.

use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use std::error::Error;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::io::{AsyncBufReadExt, BufReader};
use whatsapp_rust::wacore::types::events::InboundMessage;
use whatsapp_rust::{InboundDurabilityHook, RevokeType};
use whatsapp_rust::pair_code::PairCodeOptions;
use whatsapp_rust::prelude::*;
use whatsapp_rust::store::{SqliteStoreConfig, Synchronous};
use whatsapp_rust::transport::{Connector, TokioWebSocketTransportFactory};
use whatsapp_rust::wacore::proto_helpers::build_quote_context;

type Failure = Box<dyn Error + Send + Sync>;

fn emit(kind: &str, mut event: Value) {
    event["event"] = json!(kind);
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{event}").and_then(|()| out.flush());
}

/// The crate tries to connect again and again; only its log says that it failed, and why. With DRIVER_DEBUG all goes to
/// stderr: stdout is for events only.
struct Log {
    debug: bool,
}

impl log::Log for Log {
    fn enabled(&self, m: &log::Metadata) -> bool {
        self.debug || m.level() == log::Level::Error
    }

    fn log(&self, r: &log::Record) {
        let text = r.args().to_string();
        if r.level() == log::Level::Error && text.starts_with("Failed to connect") {
            emit("close", json!({"code": 0, "reason": text, "again": true}));
        }
        if self.enabled(r.metadata()) {
            eprintln!("{} {}: {text}", r.level(), r.target());
        }
    }

    fn flush(&self) {}
}

/// Events in the order in which they come.
#[derive(Default)]
struct Events {
    client: OnceLock<Arc<Client>>,
}

impl EventHandler for Events {
    fn handle_event(&self, event: Arc<Event>) {
        match &*event {
            Event::PairingQrCode(e) => emit("qr", json!({"qr": e.code})),
            Event::PairingCode(e) => emit("code", json!({"code": e.code})),
            Event::PairingCodeError(e) => emit("error", json!({"what": "pair", "text": e.error})),
            Event::PairError(e) => emit("error", json!({"what": "pair", "text": e.error})),
            Event::Connected(_) => self.connected(),
            Event::Disconnected(e) => close(0, &format!("{}", e.reason), true),
            Event::LoggedOut(e) => close(e.reason.code(), "logged out", false),
            Event::StreamReplaced(_) => close(0, "stream replaced", false),
            Event::ConnectFailure(e) => close(e.reason.code(), "connect failure", false),
            Event::Messages(batch) => batch
                .iter()
                .for_each(|m| message(&m.info, &m.message, false)),
            Event::UndecryptableMessage(e) => message(&e.info, &wa::Message::default(), true),
            Event::Receipt(e) => {
                let status = match e.r#type.as_wire_str() {
                    "delivery" | "inactive" => "delivered",
                    other => other,
                };
                for id in &e.message_ids {
                    emit(
                        "receipt",
                        json!({"id": id, "chat": e.source.chat.to_string(), "from": e.source.sender.to_string(),
                            "status": status}),
                    );
                }
            }
            _ => (),
        }
    }
}

impl Events {
    fn connected(&self) {
        let Some(client) = self.client.get().cloned() else {
            return;
        };
        let jid = |j: Option<Jid>| j.map(|j| j.to_string());
        emit(
            "open",
            json!({"jid": jid(client.pn()), "lid": jid(client.lid())}),
        );
        // shown as available, its receipts are those of a client in use
        tokio::spawn(async move {
            if let Err(e) = client.presence().set_available().await {
                emit("error", json!({"what": "presence", "text": e.to_string()}));
            }
        });
    }
}

fn close(code: i32, reason: &str, again: bool) {
    emit(
        "close",
        json!({"code": code, "reason": reason, "again": again}),
    );
}

fn message(info: &MessageInfo, m: &wa::Message, undecryptable: bool) {
    if let Some(mut change) = change(m) {
        change["from"] = json!(info.source.sender.to_string());
        change["fromMe"] = json!(info.source.is_from_me);
        return emit("change", change);
    }
    let quoted = m
        .extended_text_message
        .as_option()
        .and_then(|t| t.context_info.as_option())
        .and_then(|c| c.stanza_id.as_deref());
    emit(
        "message",
        json!({"id": info.id, "from": info.source.sender.to_string(), "chat": info.source.chat.to_string(),
            "fromMe": info.source.is_from_me, "text": m.text_content(), "t": info.timestamp.timestamp(),
            "name": info.push_name, "quoted": quoted, "undecryptable": undecryptable}),
    );
}

/// What a message says of an earlier one.
fn change(m: &wa::Message) -> Option<Value> {
    use wa::message::protocol_message::Type;
    let id = |key: Option<&wa::MessageKey>| key.and_then(|k| k.id.clone());
    if let Some(r) = m.reaction_message.as_option() {
        return Some(json!({"act": "react", "target": id(r.key.as_option()), "text": r.text}));
    }
    let wrapped = m
        .edited_message
        .as_option()
        .and_then(|w| w.message.as_option());
    let p = wrapped.unwrap_or(m).protocol_message.as_option()?;
    if let Some(new) = p.edited_message.as_option() {
        return Some(
            json!({"act": "edit", "target": id(p.key.as_option()), "text": new.text_content()}),
        );
    }
    (p.r#type == Some(Type::REVOKE))
        .then(|| json!({"act": "delete", "target": id(p.key.as_option()), "text": null}))
}

/// What a command asks to be sent, in the words of the crate; returns the id of it.
async fn send(client: &Arc<Client>, c: &Value) -> Result<String, Failure> {
    let to: Jid = text(c, "to")?.parse()?;
    let target = || text(c, "target").map(str::to_owned);
    Ok(match c["act"].as_str() {
        Some("edit") => {
            client
                .edit_message(to, target()?, wa::Message::text(text(c, "text")?))
                .await?
        }
        Some("delete") => {
            let id = target()?;
            client
                .revoke_message(to, id.clone(), RevokeType::Sender)
                .await?;
            id
        }
        Some("react") => {
            let key = wa::MessageKey {
                remote_jid: Some(to.to_string()),
                from_me: Some(c["mine"] == true),
                id: Some(target()?),
                ..Default::default()
            };
            client
                .send_reaction(&to, key, text(c, "text")?)
                .await?
                .message_id
        }
        Some("reply") => {
            let quoted = wa::Message::text(text(c, "quoted")?);
            let context = build_quote_context(target()?, to.to_string(), &quoted);
            client
                .send_message(
                    &to,
                    wa::Message::text_with_context(text(c, "text")?, context),
                )
                .await?
                .message_id
        }
        _ => client.send_text(to, text(c, "text")?).await?.message_id,
    })
}

fn text<'a>(command: &'a Value, name: &str) -> Result<&'a str, Failure> {
    command[name]
        .as_str()
        .ok_or_else(|| format!("no {name}").into())
}

/// The user of the crate's own option for it: a batch of messages is on the disk before the service hears of them.
struct Commit(Mutex<std::fs::File>);

#[async_trait::async_trait]
impl InboundDurabilityHook for Commit {
    async fn on_messages(&self, _: Arc<Client>, batch: &[InboundMessage]) -> anyhow::Result<()> {
        let mut lines = String::new();
        for m in batch {
            lines += &format!("{} {}\n", m.info.id, m.message.text_content().unwrap_or(""));
        }
        let mut file = self.0.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        file.write_all(lines.as_bytes())?;
        Ok(file.sync_data()?)
    }
}

/// Trusts the authority of the test service, and no other.
fn connector(ca: &str) -> Result<Connector, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Connector::Rustls(tokio_rustls::TlsConnector::from(
        Arc::new(config),
    )))
}

async fn start(c: &Value) -> Result<BotHandle, Failure> {
    let dir = text(c, "dir")?;
    std::fs::create_dir_all(dir)?;
    let mut config = SqliteStoreConfig::default();
    if c["as_delivered"] != true {
        config.synchronous = Synchronous::Full;
    }
    let store = SqliteStore::with_config(&format!("{dir}/whatsapp-rust.db"), config).await?;
    let transport = TokioWebSocketTransportFactory::new()
        .with_url(text(c, "url")?)
        .with_connector(connector(text(c, "ca")?)?);
    let events = Arc::new(Events::default());
    let mut builder = Bot::builder()
        .with_backend(store)
        .with_transport_factory(transport)
        .with_version((2, 3000, 1031080782)) // without it, the crate asks the real service for one
        .with_push_name(c["name"].as_str().unwrap_or("driver"))
        .skip_history_sync();
    if let Some(number) = c["pair"].as_str() {
        builder = builder.with_pair_code(PairCodeOptions {
            phone_number: number.into(),
            ..Default::default()
        });
    }
    if c["durable"] == true {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(format!("{dir}/committed"))?;
        builder = builder.with_inbound_durability_hook(Commit(Mutex::new(file)));
    }
    let bot = builder.build().await?;
    let _ = events.client.set(bot.client());
    bot.client().subscribe_handler(events).detach();
    Ok(bot.spawn())
}

async fn run(c: &Value, bot: &mut Option<BotHandle>) -> Result<(), Failure> {
    let command = text(c, "cmd")?;
    if command == "start" {
        *bot = Some(start(c).await?);
        return Ok(());
    }
    let client = bot.as_ref().ok_or("not started")?.client();
    match command {
        "send" => {
            let id = send(&client, c).await?;
            emit("sent", json!({"ref": c["ref"], "id": id}));
        }
        "read" => {
            let chat: Jid = text(c, "chat")?.parse()?;
            let ids: Vec<&str> = c["ids"]
                .as_array()
                .ok_or("no ids")?
                .iter()
                .filter_map(Value::as_str)
                .collect();
            client.mark_as_read(&chat, None, &ids).await?;
        }
        "logout" => {
            client.logout().await;
            emit("logged_out", json!({}));
        }
        _ => return Err("unknown command".into()),
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let debug = std::env::var_os("DRIVER_DEBUG").is_some();
    log::set_boxed_logger(Box::new(Log { debug }))?;
    log::set_max_level(if debug {
        log::LevelFilter::Debug
    } else {
        log::LevelFilter::Error
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut bot = None;
    // One command at a time: texts leave in the order in which they were asked for.
    while let Some(line) = lines.next_line().await? {
        let c: Value = serde_json::from_str(&line).unwrap_or_default();
        if c["cmd"] == "stop" {
            break;
        }
        if let Err(e) = run(&c, &mut bot).await {
            emit(
                "error",
                json!({"what": c["cmd"], "ref": c["ref"], "text": e.to_string()}),
            );
        }
    }
    if let Some(bot) = bot {
        bot.shutdown().await;
    }
    Ok(())
}
