//! Stands before a node's WebSocket and writes down which methods it is asked. It changes nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
};

/// A logging proxy; it stops with the test's runtime.
#[derive(Clone, Debug)]
pub struct WsProxy {
    /// Its WebSocket endpoint.
    pub url: String,
    methods: Arc<Mutex<BTreeMap<String, u64>>>,
    messages: Arc<Mutex<u64>>,
}

impl WsProxy {
    /// A proxy in front of the node at this HTTP address, which speaks WebSocket there too.
    pub async fn start(target: &str) -> Result<Self> {
        let target = target.strip_prefix("http://").context("no HTTP address")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("ws://{}", listener.local_addr()?);
        let proxy = Self { url, methods: Arc::default(), messages: Arc::default() };
        let of = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (of, target) = (of.clone(), target.clone());
                tokio::spawn(async move { of.pass(client, &target).await });
            }
        });
        Ok(proxy)
    }

    /// How often each method was asked for.
    pub fn methods(&self) -> BTreeMap<String, u64> {
        self.methods.lock().unwrap().clone()
    }

    /// Messages to the node, a batch being one.
    pub fn trips(&self) -> u64 {
        *self.messages.lock().unwrap()
    }

    async fn pass(&self, client: TcpStream, target: &str) -> Result<()> {
        let (mut from_node, mut to_node) = TcpStream::connect(target).await?.into_split();
        let (mut from_client, mut to_client) = client.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_node, &mut to_client).await });
        // The request to speak WebSocket, up to its empty line.
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(from_client.read_u8().await?);
        }
        to_node.write_all(&request).await?;
        let mut message = Vec::new();
        loop {
            let (raw, last, kind, payload) = frame(&mut from_client).await?;
            to_node.write_all(&raw).await?;
            // Pings and the like are no questions.
            if kind >= 8 {
                continue;
            }
            message.extend(payload);
            if last {
                self.note(&std::mem::take(&mut message));
            }
        }
    }

    fn note(&self, message: &[u8]) {
        let asked: Value = serde_json::from_slice(message).unwrap_or_default();
        *self.messages.lock().unwrap() += 1;
        for call in asked.as_array().map_or(std::slice::from_ref(&asked), Vec::as_slice) {
            let method = call["method"].as_str().unwrap_or("(none)").to_owned();
            *self.methods.lock().unwrap().entry(method).or_default() += 1;
        }
    }
}

/// A frame of a client's (RFC 6455, 5.2): as it came, whether it ends its message, its opcode, what is in it.
async fn frame(from: &mut OwnedReadHalf) -> Result<(Vec<u8>, bool, u8, Vec<u8>)> {
    let mut raw = vec![0; 2];
    from.read_exact(&mut raw).await?;
    let (last, kind, short) = (raw[0] & 0x80 != 0, raw[0] & 0x0f, raw[1] & 0x7f);
    let more = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mut rest = vec![0; more + 4];
    from.read_exact(&mut rest).await?;
    let length =
        if more == 0 { u64::from(short) } else { rest[..more].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) };
    let mut payload = vec![0; usize::try_from(length)?];
    from.read_exact(&mut payload).await?;
    raw.extend(&rest);
    raw.extend(&payload);
    let mask = &rest[more..];
    payload.iter_mut().enumerate().for_each(|(index, byte)| *byte ^= mask[index % 4]);
    Ok((raw, last, kind, payload))
}
