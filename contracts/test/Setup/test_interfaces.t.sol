// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEngagements } from "../../src/marketplace/interfaces/IEngagements.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { ISignatureVerifier } from "../../src/marketplace/interfaces/ISignatureVerifier.sol";
import { MarketTest } from "../support/MarketTest.sol";
import { Wallet, WalletFactory } from "../support/Wallet.sol";

interface IEip712 {
    function eip712Domain()
        external
        view
        returns (bytes1, string memory, string memory, uint256, address, bytes32, uint256[] memory);
}

/// @notice What wallets and other contracts rely on: EIP-712 domains, typed data, signature checks.
contract InterfacesTest is MarketTest {
    function assertDomain(address target, string memory name) private view {
        (, string memory actual, string memory version, uint256 chainId, address verifyingContract,,) =
            IEip712(target).eip712Domain();
        assertEq(actual, name);
        assertEq(version, "1");
        assertEq(chainId, block.chainid);
        assertEq(verifyingContract, target);
    }

    function test_domains_name_contract_and_chain() public view {
        assertDomain(address(escrow), "Fabstir PaymentEscrow");
        assertDomain(address(jobs), "Fabstir JobMarketplace");
        assertDomain(address(sessions), "Fabstir SessionMarketplace");
    }

    /// @dev An ERC-6492 suffix with nothing before it is no signature of that kind, and cannot be read as one.
    function test_a_naked_suffix_is_refused() public {
        bytes memory suffix = abi.encode(bytes32(0x6492649264926492649264926492649264926492649264926492649264926492));
        vm.expectRevert(bytes(""));
        ISignatureVerifier(verifier).isValidSignature(payer, "digest", suffix);
        assertFalse(ISignatureVerifier(verifier).isValidSignature(payer, "digest", "short"));
    }

    function test_job_quote_digest_is_eip712() public view {
        IJobMarketplace.JobQuote memory q = IJobMarketplace.JobQuote({
            host: host,
            payer: payer,
            modelId: MODEL,
            token: address(usdc),
            amount: 1,
            inputHash: "input",
            minDuration: 2,
            validUntil: 3,
            nonce: 4
        });
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Fabstir JobMarketplace"),
                keccak256("1"),
                block.chainid,
                address(jobs)
            )
        );
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "JobQuote(address host,address payer,bytes32 modelId,address token,uint256 amount,bytes32 inputHash,uint32 minDuration,uint40 validUntil,uint256 nonce)"
                ),
                q
            )
        );
        assertEq(jobs.quoteDigest(q), keccak256(abi.encodePacked("\x19\x01", domain, structHash)));
    }

    function test_outcome_of_nothing_is_empty() public view {
        assertEq(uint8(IEngagements(address(jobs)).outcomeOf("x").result), 0);
        assertEq(uint8(IEngagements(address(sessions)).outcomeOf("x").result), 0);
    }

    // ---------------------------------------------------------------------------------------------- signatures

    function check(address signer, bytes memory signature) private returns (bool) {
        return ISignatureVerifier(verifier).isValidSignature(signer, "hash", signature);
    }

    function test_verifier_checks_ecdsa() public {
        assertTrue(check(payer, sign(payerKey, "hash")));
        assertFalse(check(host, sign(payerKey, "hash")));
        assertFalse(check(payer, ""));
    }

    function test_verifier_checks_erc1271() public {
        Wallet wallet = new Wallet(payer);
        assertTrue(check(address(wallet), sign(payerKey, "hash")));
        assertFalse(check(address(wallet), sign(hostKey, "hash")));
    }

    function test_verifier_deploys_by_erc6492() public {
        WalletFactory factory = new WalletFactory();
        address wallet = factory.addressOf(payer);
        assertTrue(check(wallet, factory.wrap(payer, sign(payerKey, "hash"))));
        assertGt(wallet.code.length, 0);
    }

    function test_verifier_does_not_prepare_a_deployed_account() public {
        WalletFactory factory = new WalletFactory();
        address wallet = factory.create(payer);
        vm.expectCall(address(factory), abi.encodeCall(factory.create, (payer)), 0);
        assertTrue(check(wallet, factory.wrap(payer, sign(payerKey, "hash"))));
    }

    function test_verifier_refuses_wrong_signature_after_preparation() public {
        WalletFactory factory = new WalletFactory();
        address wallet = factory.addressOf(payer);
        assertFalse(check(wallet, factory.wrap(payer, sign(hostKey, "hash"))));
    }
}
