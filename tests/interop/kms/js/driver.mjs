// SPDX-License-Identifier: Apache-2.0
//
// The JavaScript SDK as a driver: a request a line on standard input, an answer a line on standard
// output, both JSON in the wire's own form (blobs in base64, times in seconds since 1970).
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import * as kms from "@aws-sdk/client-kms";

const BLOBS = new Set(["Plaintext", "CiphertextBlob", "Message", "Mac", "Signature", "ImportToken",
    "EncryptedKeyMaterial", "PublicKey"]);
const TIMES = new Set(["ValidTo"]);
const clients = new Map();

function inwards(params) {
    return Object.fromEntries(Object.entries(params).map(([name, value]) => {
        if (BLOBS.has(name)) {
            return [name, Buffer.from(value, "base64")];
        }
        return [name, TIMES.has(name) ? new Date(value * 1000) : value];
    }));
}

function outwards(value) {
    if (value instanceof Uint8Array) {
        return Buffer.from(value).toString("base64");
    }
    if (value instanceof Date) {
        return value.getTime() / 1000;
    }
    if (Array.isArray(value)) {
        return value.map(outwards);
    }
    if (value !== null && typeof value === "object") {
        return Object.fromEntries(Object.entries(value)
            .filter(([name, item]) => item !== undefined && name !== "$metadata")
            .map(([name, item]) => [name, outwards(item)]));
    }
    return value;
}

function newClient(request) {
    return new kms.KMSClient({
        endpoint: request.endpoint,
        region: request.region,
        maxAttempts: 1,
        systemClockOffset: request.ahead,
        credentials: {
            accessKeyId: request.accessKeyId,
            secretAccessKey: request.secretAccessKey,
            sessionToken: request.sessionToken || undefined,
        },
    });
}

function client(request) {
    // A client takes its clock from the answers' Date, and so cannot keep one that is shifted.
    if (request.ahead !== 0) {
        return newClient(request);
    }
    const key = JSON.stringify([request.accessKeyId, request.region]);
    if (!clients.has(key)) {
        clients.set(key, newClient(request));
    }
    return clients.get(key);
}

async function answer(request) {
    try {
        const command = new kms[`${request.operation}Command`](inwards(request.params));
        return { body: outwards(await client(request).send(command)) };
    } catch (error) {
        return { error: error.name, message: String(error.message ?? "") };
    }
}

const version = createRequire(import.meta.url)("@aws-sdk/client-kms/package.json").version;
const operations = Object.keys(kms).filter((name) => /^[A-Z]\w+Command$/.test(name))
    .map((name) => name.replace(/Command$/, ""));
console.log(JSON.stringify({ version, operations }));
for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(JSON.parse(line))));
}
