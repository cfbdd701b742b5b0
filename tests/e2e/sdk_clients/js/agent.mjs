// An agent of the official JavaScript SDK: `node agent.mjs VERSION`, VERSION 0.3 or 1.3.
//
// Serves JSON-RPC at the root of a free port of this machine and HTTP+JSON below /rest, and prints its address. It
// answers each message with an artifact of its text. A text that says `wait` leaves the task open until it is cancelled.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import express from 'express';

const isOld = process.argv[2] === '0.3';
const sdk = isOld ? 'sdk-0.3' : 'sdk-1.3';
const { DefaultRequestHandler, InMemoryTaskStore, InMemoryPushNotificationStore, DefaultPushNotificationSender } =
  await import(`${sdk}/server`);
const { UserBuilder, agentCardHandler, jsonRpcHandler, restHandler } = await import(`${sdk}/server/express`);

const STATES = { submitted: 1, working: 2, completed: 3, canceled: 5, 'input-required': 6 };

// The two versions of the SDK have different forms of the same four events.
const forms = {
  state: (name) => (isOld ? name : STATES[name]),
  textOf: (part) => (isOld ? part.text : part.content.value),
  part: (text) =>
    isOld ? { kind: 'text', text } : { content: { $case: 'text', value: text }, filename: '', mediaType: '' },
  event: (kind, data) => (isOld ? { kind, ...data } : { kind: NAMES[kind], data }),
};

const NAMES = { task: 'task', 'status-update': 'statusUpdate', 'artifact-update': 'artifactUpdate' };

class EchoExecutor {
  #open = new Map();

  async execute({ taskId, contextId, userMessage }, bus) {
    const text = userMessage.parts.map(forms.textOf).join('');
    const last = text.includes('wait') ? 'input-required' : 'completed';
    const artifact = { artifactId: randomUUID(), name: 'echo', description: '', parts: [forms.part(text)], extensions: [] };
    const task = { id: taskId, contextId, status: this.#status('submitted'), artifacts: [], history: [userMessage] };
    bus.publish(forms.event('task', task));
    this.#publishStatus(bus, taskId, contextId, 'working');
    bus.publish(forms.event('artifact-update', { taskId, contextId, artifact, append: false, lastChunk: true }));
    this.#publishStatus(bus, taskId, contextId, last);
    if (last === 'input-required') {
      await new Promise((resolve) => this.#open.set(taskId, { contextId, resolve }));
    }
    bus.finished();
  }

  async cancelTask(taskId, bus) {
    const { contextId, resolve } = this.#open.get(taskId);
    this.#open.delete(taskId);
    this.#publishStatus(bus, taskId, contextId, 'canceled');
    resolve();
  }

  #publishStatus(bus, taskId, contextId, name) {
    const final = name !== 'working';
    bus.publish(forms.event('status-update', { taskId, contextId, status: this.#status(name), final }));
  }

  #status(name) {
    return { state: forms.state(name), timestamp: new Date().toISOString() };
  }
}

function buildCard(url) {
  const shared = {
    name: 'echo',
    description: 'Echoes',
    version: '1',
    skills: [{ id: 'echo', name: 'echo', description: 'Echoes', tags: ['echo'] }],
    capabilities: { streaming: true, pushNotifications: true, extendedAgentCard: true },
    defaultInputModes: ['text/plain'],
    defaultOutputModes: ['text/plain'],
  };
  if (isOld) {
    const preferred = { url, preferredTransport: 'JSONRPC', protocolVersion: '0.3.0' };
    const additionalInterfaces = [
      { transport: 'JSONRPC', url },
      { transport: 'HTTP+JSON', url: `${url}rest` },
    ];
    return { ...shared, ...preferred, additionalInterfaces, supportsAuthenticatedExtendedCard: true };
  }
  const bindings = [
    ['JSONRPC', url],
    ['HTTP+JSON', `${url}rest`],
  ];
  const supportedInterfaces = bindings.map(([protocolBinding, address]) => ({
    url: address,
    protocolBinding,
    protocolVersion: '1.0',
    tenant: '',
  }));
  const empty = { securitySchemes: {}, securityRequirements: [], signatures: [] };
  return { ...shared, ...empty, supportedInterfaces };
}

const app = express();
const server = createServer(app);
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${server.address().port}/`;
const card = buildCard(url);
const configs = new InMemoryPushNotificationStore();
const sender = new DefaultPushNotificationSender(configs);
const echo = new EchoExecutor();
const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), echo, undefined, configs, sender, card);
const userBuilder = UserBuilder.noAuthentication;
app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: requestHandler }));
app.use('/rest', restHandler({ requestHandler, userBuilder }));
app.use('/', jsonRpcHandler({ requestHandler, userBuilder }));
process.stdout.write(`${url}\n`);
