// Asks an emulated WeChat through co-wechat-api, as a program of somebody else would.
//
// node ask.js URL APPID SECRET < [["getUpstreamMsg", "2026-11-17", "2026-11-23"], …]
//
// Prints a JSON list: of each call what the client gave back, or {"error": errcode or what the client said}.
// Calls of the client that are no statistics go the same way: ["getAccessToken"].

'use strict';

const fs = require('fs');
const API = require('co-wechat-api');

const WECHAT = 'https://api.weixin.qq.com';

class EmulatedAPI extends API {
  constructor(url, appid, secret) {
    super(appid, secret);
    this.url = url;
  }

  // Every call of the client goes through here, with an address that it wrote out.
  async request(address, options, retry) {
    return super.request(address.replace(WECHAT, this.url), options, retry);
  }
}

async function main() {
  const api = new EmulatedAPI(...process.argv.slice(2));
  const answers = [];
  for (const [method, ...values] of JSON.parse(fs.readFileSync(0, 'utf8'))) {
    try {
      answers.push(await api[method](...values));
    } catch (error) {
      answers.push({ error: error.code || error.message });
    }
  }
  console.log(JSON.stringify(answers));
}

main();
