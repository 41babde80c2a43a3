//! An operation as a client sends it: for estimation and sponsorship, not yet complete.

use alloy::{
    eips::eip7702::SignedAuthorization,
    primitives::{Address, Bytes, U256},
};
use serde_json::Value;

use super::fields::{FieldError, Fields};
use crate::{
    EntryPointVersion, Initializer, Paymaster, UserOperation, pack::EIP7702_INIT_CODE_PREFIX, unpack::split_signature,
};

/// An operation whose gas, fees and signature may still be open.
///
/// A gas limit or fee of zero counts as open: clients (viem among them) send zeros for what they ask to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of `UserOperation`, each optional if it can be filled in later")]
pub struct UserOperationRequest {
    pub sender: Address,
    pub nonce: U256,
    pub initializer: Option<Initializer>,
    pub call_data: Bytes,
    pub call_gas_limit: Option<u128>,
    pub verification_gas_limit: Option<u128>,
    pub pre_verification_gas: Option<u128>,
    pub max_fee_per_gas: Option<u128>,
    pub max_priority_fee_per_gas: Option<u128>,
    pub paymaster: Option<PaymasterRequest>,
    pub signature: Option<Bytes>,
    pub eip7702_auth: Option<SignedAuthorization>,
}

/// The paymaster fields of a [`UserOperationRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of `Paymaster`, its gas limits optional")]
pub struct PaymasterRequest {
    pub address: Address,
    pub verification_gas_limit: Option<u128>,
    pub post_op_gas_limit: Option<u128>,
    pub data: Bytes,
    pub signature: Bytes,
}

impl UserOperationRequest {
    /// Reads an operation for an EntryPoint of this version.
    ///
    /// # Errors
    /// The first field that is missing, malformed, too large, half of a pair, or of the other version's form.
    pub fn from_json(value: &Value, version: EntryPointVersion) -> Result<Self, FieldError> {
        let fields = Fields::of(value)?;
        let (initializer, paymaster) = if version.is_packed() {
            refuse(&fields, "initCode", version, "`factory` and `factoryData`")?;
            refuse(&fields, "paymasterAndData", version, "`paymaster` and `paymasterData`")?;
            (initializer(&fields, version)?, paymaster(&fields, version)?)
        } else {
            refuse(&fields, "factory", version, "`initCode`")?;
            refuse(&fields, "factoryData", version, "`initCode`")?;
            refuse(&fields, "paymaster", version, "`paymasterAndData`")?;
            refuse(&fields, "paymasterData", version, "`paymasterAndData`")?;
            (init_code(&fields)?, paymaster_and_data(&fields)?)
        };
        Ok(Self {
            sender: fields.address("sender")?.ok_or(FieldError::Missing { field: "sender" })?,
            nonce: fields.quantity("nonce")?.ok_or(FieldError::Missing { field: "nonce" })?,
            initializer,
            call_data: fields.bytes("callData")?.ok_or(FieldError::Missing { field: "callData" })?,
            call_gas_limit: fields.gas("callGasLimit")?,
            verification_gas_limit: fields.gas("verificationGasLimit")?,
            pre_verification_gas: fields.gas("preVerificationGas")?,
            max_fee_per_gas: fields.gas("maxFeePerGas")?,
            max_priority_fee_per_gas: fields.gas("maxPriorityFeePerGas")?,
            paymaster,
            signature: fields.bytes("signature")?,
            eip7702_auth: fields.authorization()?,
        })
    }

    /// The operation, if every field is there: what `eth_sendUserOperation` needs.
    ///
    /// # Errors
    /// The first field that is missing.
    pub fn complete(self, version: EntryPointVersion) -> Result<UserOperation, FieldError> {
        fn need<T>(field: &'static str, value: Option<T>) -> Result<T, FieldError> {
            value.ok_or(FieldError::Missing { field })
        }
        let paymaster = self.paymaster.map(|paymaster| {
            let limit = |field, value| if version.is_packed() { need(field, value) } else { Ok(0) };
            Ok(Paymaster {
                address: paymaster.address,
                verification_gas_limit: limit("paymasterVerificationGasLimit", paymaster.verification_gas_limit)?,
                post_op_gas_limit: limit("paymasterPostOpGasLimit", paymaster.post_op_gas_limit)?,
                data: paymaster.data,
                signature: paymaster.signature,
            })
        });
        Ok(UserOperation {
            sender: self.sender,
            nonce: self.nonce,
            initializer: self.initializer,
            call_data: self.call_data,
            call_gas_limit: need("callGasLimit", self.call_gas_limit)?,
            verification_gas_limit: need("verificationGasLimit", self.verification_gas_limit)?,
            pre_verification_gas: need("preVerificationGas", self.pre_verification_gas)?,
            max_fee_per_gas: need("maxFeePerGas", self.max_fee_per_gas)?,
            max_priority_fee_per_gas: need("maxPriorityFeePerGas", self.max_priority_fee_per_gas)?,
            paymaster: paymaster.transpose()?,
            signature: need("signature", self.signature)?,
            eip7702_auth: self.eip7702_auth,
        })
    }

    /// The operation with zero, or nothing, for every field that is open.
    pub fn with_open_fields_zero(&self) -> UserOperation {
        UserOperation {
            sender: self.sender,
            nonce: self.nonce,
            initializer: self.initializer.clone(),
            call_data: self.call_data.clone(),
            call_gas_limit: self.call_gas_limit.unwrap_or(0),
            verification_gas_limit: self.verification_gas_limit.unwrap_or(0),
            pre_verification_gas: self.pre_verification_gas.unwrap_or(0),
            max_fee_per_gas: self.max_fee_per_gas.unwrap_or(0),
            max_priority_fee_per_gas: self.max_priority_fee_per_gas.unwrap_or(0),
            paymaster: self.paymaster.as_ref().map(|paymaster| Paymaster {
                address: paymaster.address,
                verification_gas_limit: paymaster.verification_gas_limit.unwrap_or(0),
                post_op_gas_limit: paymaster.post_op_gas_limit.unwrap_or(0),
                data: paymaster.data.clone(),
                signature: paymaster.signature.clone(),
            }),
            signature: self.signature.clone().unwrap_or_default(),
            eip7702_auth: self.eip7702_auth.clone(),
        }
    }
}

fn refuse(
    fields: &Fields<'_>,
    field: &'static str,
    version: EntryPointVersion,
    instead: &'static str,
) -> Result<(), FieldError> {
    if fields.is_set(field) { Err(FieldError::WrongVersion { field, version, instead }) } else { Ok(()) }
}

fn init_code(fields: &Fields<'_>) -> Result<Option<Initializer>, FieldError> {
    let Some(init_code) = fields.bytes("initCode")?.filter(|code| !code.is_empty()) else { return Ok(None) };
    Initializer::from_init_code(&init_code)
        .map(Some)
        .ok_or(FieldError::Malformed { field: "initCode", expected: "a factory address of 20 bytes, then its data" })
}

fn initializer(fields: &Fields<'_>, version: EntryPointVersion) -> Result<Option<Initializer>, FieldError> {
    let data = fields.bytes("factoryData")?;
    let is_marker = |bytes: &Bytes| bytes[..] == EIP7702_INIT_CODE_PREFIX[..2] || bytes[..] == EIP7702_INIT_CODE_PREFIX;
    // A factory that is no hex at all falls through to `address`, which names the problem.
    if fields.bytes("factory").is_ok_and(|factory| factory.as_ref().is_some_and(is_marker)) {
        if !version.supports_eip7702() {
            let instead = "an EntryPoint of v0.8 or later for EIP-7702 senders";
            return Err(FieldError::WrongVersion { field: "factory", version, instead });
        }
        return Ok(Some(Initializer::Eip7702 { data: data.unwrap_or_default() }));
    }
    match (fields.address("factory")?, data) {
        (Some(address), Some(data)) => Ok(Some(Initializer::Factory { address, data })),
        (Some(_), None) => Err(FieldError::Incomplete { field: "factory", needs: "factoryData" }),
        (None, Some(data)) if !data.is_empty() => {
            Err(FieldError::Incomplete { field: "factoryData", needs: "factory" })
        }
        (None, _) => Ok(None),
    }
}

fn paymaster_and_data(fields: &Fields<'_>) -> Result<Option<PaymasterRequest>, FieldError> {
    let field = "paymasterAndData";
    let Some(packed) = fields.bytes(field)?.filter(|data| !data.is_empty()) else { return Ok(None) };
    let Some((address, data)) = packed.split_first_chunk::<20>() else {
        return Err(FieldError::Malformed { field, expected: "a paymaster address of 20 bytes, then its data" });
    };
    Ok(Some(PaymasterRequest {
        address: Address::from(*address),
        verification_gas_limit: None,
        post_op_gas_limit: None,
        data: Bytes::copy_from_slice(data),
        signature: Bytes::new(),
    }))
}

fn paymaster(fields: &Fields<'_>, version: EntryPointVersion) -> Result<Option<PaymasterRequest>, FieldError> {
    let verification_gas_limit = fields.gas("paymasterVerificationGasLimit")?;
    let post_op_gas_limit = fields.gas("paymasterPostOpGasLimit")?;
    let data = fields.bytes("paymasterData")?.unwrap_or_default();
    let signature = fields.bytes("paymasterSignature")?.unwrap_or_default();
    if !signature.is_empty() && !version.supports_paymaster_signature() {
        let instead = "`paymasterData`";
        return Err(FieldError::WrongVersion { field: "paymasterSignature", version, instead });
    }
    // Some clients put it where the contract reads it: at the end of the data.
    let (data, signature) = if signature.is_empty() && version.supports_paymaster_signature() {
        let (data, signature) = split_signature(&data, version);
        (Bytes::copy_from_slice(data), Bytes::copy_from_slice(signature))
    } else {
        (data, signature)
    };
    if signature.len() > usize::from(u16::MAX) {
        return Err(FieldError::TooLarge { field: "paymasterSignature", max: "65535 bytes" });
    }
    let Some(address) = fields.address("paymaster")? else {
        let without =
            |set: bool, field| if set { Err(FieldError::Incomplete { field, needs: "paymaster" }) } else { Ok(()) };
        without(!data.is_empty(), "paymasterData")?;
        without(!signature.is_empty(), "paymasterSignature")?;
        without(verification_gas_limit.is_some_and(|limit| limit > 0), "paymasterVerificationGasLimit")?;
        without(post_op_gas_limit.is_some_and(|limit| limit > 0), "paymasterPostOpGasLimit")?;
        return Ok(None);
    };
    Ok(Some(PaymasterRequest { address, verification_gas_limit, post_op_gas_limit, data, signature }))
}
