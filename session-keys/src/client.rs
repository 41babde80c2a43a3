//! A client of the signing service: makes a session, has an owner grant it, acts within it.
//!
//! ```text
//!  SessionClient::create ──request──► Asked ──the owner signs──► grant ──► Session
//!     Session: send_calls · open_chat ──► Chat: sign_voucher · close · settle-up by either side │ revoke
//! ```

use std::time::{Duration, Instant};

use alloy::{
    primitives::{Address, B256, Bytes, Log, LogData, U256, keccak256},
    sol_types::{SolCall, SolEvent},
};
use erc4337::{
    abi::{
        session_marketplace::{
            ISessionMarketplace::SessionQuote, SessionOpened, closeWithHostCall, openSessionCall, startCloseCall,
        },
        test_usdc::approveCall,
    },
    calls::Call,
};
use jsonrpsee::{
    core::{ClientError, client::ClientT},
    http_client::{HeaderMap, HeaderValue, HttpClient, HttpClientBuilder},
    rpc_params,
};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    Policy,
    permission::PermissionRequest,
    policy::{encode::EncodingError, marketplace::Marketplace},
    service::Voucher,
    session_key::Curve,
};

/// How long a batch may take to be mined.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions for it.
const POLL: Duration = Duration::from_millis(100);
/// What a price is for.
const PRICE_UNIT: u64 = 1_000_000;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ClientFailure {
    /// The service refused, or did not answer.
    #[error(transparent)]
    Rpc(#[from] ClientError),
    /// The token cannot be sent.
    #[error("the token is no header value")]
    Token,
    /// An answer is not of the form that was expected.
    #[error("{0}: the answer cannot be read")]
    Answer(&'static str),
    /// The policy that came back is not what the context names.
    #[error("the policy that was answered is not the one that the context names")]
    OtherPolicy,
    /// The calls were not done.
    #[error("batch {id}: status {status}")]
    NotDone {
        /// Of the batch.
        id: String,
        /// As EIP-5792 numbers it.
        status: u64,
    },
    /// A policy that cannot be encoded.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
}

type Done<T> = Result<T, ClientFailure>;

/// A session key at a signing service, and the token that uses it.
#[derive(Clone)]
pub struct SessionClient {
    rpc: HttpClient,
    token: Zeroizing<String>,
    /// What a permission request names as its `to`.
    pub to: Address,
}

/// A permission that an owner may grant.
#[derive(Clone, Debug)]
pub struct Asked {
    client: SessionClient,
    /// Names the permission.
    pub context: B256,
    /// What it allows, in words.
    pub summary: String,
    /// What it allows.
    pub policy: Policy,
    /// What the owner signs, as wallets take it (`eth_signTypedData_v4`).
    pub typed_data: Value,
    /// The whole answer.
    pub answer: Value,
}

/// A granted permission.
#[derive(Clone, Debug)]
pub struct Session {
    client: SessionClient,
    /// Names the permission.
    pub context: B256,
    /// Whom it acts for.
    pub account: Address,
}

/// A streaming conversation, paid by vouchers of the account.
#[derive(Clone, Debug)]
pub struct Chat {
    session: Session,
    marketplace: Marketplace,
    /// Base units of the token for a million LLM tokens.
    pub price: U256,
    /// The last voucher that was signed.
    pub voucher: Voucher,
}

/// A batch that was mined.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The transaction.
    pub transaction_hash: B256,
    /// What the calls emitted.
    pub logs: Vec<EmittedLog>,
}

/// A log of a batch.
#[derive(Clone, Debug, Deserialize)]
pub struct EmittedLog {
    /// Who emitted it.
    pub address: Address,
    /// Its topics.
    pub topics: Vec<B256>,
    /// Its data.
    pub data: Bytes,
}

impl std::fmt::Debug for SessionClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionClient({})", self.to)
    }
}

impl SessionClient {
    /// A new key at the service of this URL.
    ///
    /// # Errors
    /// If the service refuses.
    pub async fn create(url: &str, curve: Curve) -> Done<Self> {
        let open = HttpClientBuilder::default().build(url)?;
        let answer: Value = open.request("fabstir_createSession", rpc_params![json!({ "curve": curve })]).await?;
        let token = answer["token"].as_str().ok_or(ClientFailure::Answer("token"))?;
        let to = read(&answer["to"], "to")?;
        Self::with_token(url, token, to)
    }

    /// A key of before, by its token.
    ///
    /// # Errors
    /// If the URL or the token cannot be used.
    pub fn with_token(url: &str, token: &str, to: Address) -> Done<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientFailure::Token)?;
        value.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert("authorization", value);
        let rpc = HttpClientBuilder::default().set_headers(headers).build(url)?;
        Ok(Self { rpc, token: Zeroizing::new(token.to_owned()), to })
    }

    /// Another key for the same token: for the session that takes this one's place.
    ///
    /// # Errors
    /// If the service refuses.
    pub async fn another(&self, curve: Curve) -> Done<Self> {
        let answer: Value = self.rpc.request("fabstir_createSession", rpc_params![json!({ "curve": curve })]).await?;
        Ok(Self { to: read(&answer["to"], "to")?, ..self.clone() })
    }

    /// The token, to be kept.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Asks for a permission (`wallet_requestExecutionPermissions`).
    ///
    /// # Errors
    /// If the service cannot grant it, or answers with a policy that is not the context's.
    pub async fn request(&self, request: &PermissionRequest) -> Done<Asked> {
        let answers: Vec<Value> = self.rpc.request("wallet_requestExecutionPermissions", rpc_params![request]).await?;
        let answer = answers.into_iter().next().ok_or(ClientFailure::Answer("permission"))?;
        let policy: Policy = read(&answer["policy"], "policy")?;
        let context = read(&answer["context"], "context")?;
        if policy.id()? != context {
            return Err(ClientFailure::OtherPolicy);
        }
        Ok(Asked {
            client: self.clone(),
            context,
            summary: read(&answer["summary"], "summary")?,
            policy,
            typed_data: answer["typedData"].clone(),
            answer,
        })
    }

    /// Any method, with the token.
    ///
    /// # Errors
    /// If the service refuses.
    pub async fn ask(&self, method: &str, param: Value) -> Done<Value> {
        Ok(self.rpc.request(method, rpc_params![param]).await?)
    }
}

impl Asked {
    /// Hands in an owner's signature.
    ///
    /// # Errors
    /// If it is no owner's.
    pub async fn grant(self, account: Address, signature: &[u8]) -> Done<Session> {
        let signature = Bytes::copy_from_slice(signature);
        let grant = json!({ "permissionContext": self.context, "signature": signature });
        self.client.ask("fabstir_grantPermission", grant).await?;
        Ok(Session { client: self.client, context: self.context, account })
    }
}

impl Session {
    /// A granted session of before.
    pub fn of(client: SessionClient, context: B256, account: Address) -> Self {
        Self { client, context, account }
    }

    /// Sends calls as one operation (`wallet_sendCalls`); the batch's id.
    ///
    /// # Errors
    /// If the policy, the paymaster or the bundler refuses.
    pub async fn send_calls(&self, calls: &[Call]) -> Done<String> {
        let calls: Vec<_> =
            calls.iter().map(|call| json!({ "to": call.target, "value": call.value, "data": call.data })).collect();
        let request = json!({
            "version": "2.0.0", "from": self.account, "calls": calls, "atomicRequired": true,
            "capabilities": { "permissions": { "context": self.context } },
        });
        let answer = self.client.ask("wallet_sendCalls", request).await?;
        read(&answer["id"], "id")
    }

    /// Waits until a batch is mined.
    ///
    /// # Errors
    /// If it reverted, was dropped, or takes too long.
    pub async fn wait(&self, id: &str) -> Done<Receipt> {
        let start = Instant::now();
        loop {
            let answer = self.client.ask("wallet_getCallsStatus", json!(id)).await?;
            let status = answer["status"].as_u64().ok_or(ClientFailure::Answer("status"))?;
            match status {
                200 => return read(&answer["receipts"][0], "receipts"),
                100 if start.elapsed() < PATIENCE => tokio::time::sleep(POLL).await,
                _ => return Err(ClientFailure::NotDone { id: id.to_owned(), status }),
            }
        }
    }

    /// Sends and waits.
    ///
    /// # Errors
    /// Those of both.
    pub async fn act(&self, calls: &[Call]) -> Done<Receipt> {
        let id = self.send_calls(calls).await?;
        self.wait(&id).await
    }

    /// Opens a conversation under a host's signed quote, with this deposit.
    ///
    /// # Errors
    /// If it is refused anywhere, or the marketplace does not open it.
    pub async fn open_chat(
        &self,
        at: &Marketplace,
        quote: SessionQuote,
        host_signature: Bytes,
        deposit: U256,
    ) -> Done<Chat> {
        let price = U256::from(quote.pricePerMillion);
        let approve = approveCall { spender: at.escrow, value: deposit }.abi_encode();
        // The account itself signs the vouchers: its policy caps them.
        let open = openSessionCall { quote, hostSignature: host_signature, deposit, voucherKey: self.account };
        let call = |target, data: Vec<u8>| Call { target, value: U256::ZERO, data: data.into() };
        let receipt = self.act(&[call(at.token, approve), call(at.sessions, open.abi_encode())]).await?;
        let opened = receipt.logs.iter().filter(|log| log.address == at.sessions).find_map(|log| {
            let data = LogData::new(log.topics.clone(), log.data.clone())?;
            SessionOpened::decode_log(&Log { address: log.address, data }).ok()
        });
        let session = opened.ok_or(ClientFailure::Answer("SessionOpened"))?.sessionId;
        let voucher =
            Voucher { session, cumulative_amount: U256::ZERO, tokens: U256::ZERO, transcript_root: keccak256([]) };
        Ok(Chat { session: self.clone(), marketplace: *at, price, voucher })
    }

    /// Stops all signing here, at once; the call by which the owner tells the chain.
    ///
    /// # Errors
    /// If the service refuses.
    pub async fn revoke(&self) -> Done<Call> {
        let param = json!({ "permissionContext": self.context });
        let answer = self.client.ask("wallet_revokeExecutionPermission", param).await?;
        let call = &answer["onChain"];
        Ok(Call { target: read(&call["to"], "to")?, value: U256::ZERO, data: read(&call["data"], "data")? })
    }
}

impl Chat {
    /// A voucher for `tokens` more, of which `text` was read: for all that was said so far.
    ///
    /// # Errors
    /// If the right, its ceiling or its rate refuses.
    pub async fn sign_voucher(&mut self, text: &str, tokens: u64) -> Done<(Voucher, Bytes)> {
        let mut voucher = self.voucher;
        voucher.tokens += U256::from(tokens);
        voucher.cumulative_amount = voucher.tokens * self.price / U256::from(PRICE_UNIT);
        voucher.transcript_root = keccak256([voucher.transcript_root, keccak256(text)].concat());
        let request = json!({ "permissionContext": self.session.context, "voucher": voucher });
        let answer = self.session.client.ask("fabstir_signVoucher", request).await?;
        self.voucher = voucher;
        Ok((voucher, read(&answer["signature"], "signature")?))
    }

    /// Ends it with the host's consent: so much is paid, and the rest is refunded, at once.
    ///
    /// # Errors
    /// If it is refused anywhere.
    pub async fn close(&self, final_amount: U256, valid_until: U256, consent: Bytes) -> Done<Receipt> {
        let close = closeWithHostCall {
            sessionId: self.voucher.session,
            finalAmount: final_amount,
            validUntil: valid_until,
            hostSignature: consent,
        };
        self.call(close.abi_encode()).await
    }

    /// Begins to end it without the host, which has its grace to settle the last voucher.
    ///
    /// # Errors
    /// If it is refused anywhere.
    pub async fn leave(&self) -> Done<Receipt> {
        self.call(startCloseCall { sessionId: self.voucher.session }.abi_encode()).await
    }

    async fn call(&self, data: Vec<u8>) -> Done<Receipt> {
        self.session.act(&[Call { target: self.marketplace.sessions, value: U256::ZERO, data: data.into() }]).await
    }
}

fn read<T: serde::de::DeserializeOwned>(value: &Value, name: &'static str) -> Done<T> {
    T::deserialize(value).map_err(|_| ClientFailure::Answer(name))
}
