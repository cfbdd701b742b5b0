// The official JavaScript clients: `node client.mjs VERSION BINDING {"<agent>": <target>, ...}`, VERSION 0.3 or 1.3,
// BINDING JSONRPC, HTTP+JSON or GRPC.
//
// A target has the base URL of an agent's card as `url`, the names of what the agent does with a task that waits as
// `habits`, and for GRPC of 0.3, which the card does not offer, the address of gRPC as `grpc`. The client tries every
// operation with each agent and prints what came of it: `ok`, or the code or the reason of the error. It tries all agents
// at once.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const [version, binding, targets] = [process.argv[2], process.argv[3], JSON.parse(process.argv[4])];
const isOld = version === '0.3';
const sdk = isOld ? 'sdk-0.3' : 'sdk-1.3';
const { ClientFactory, ClientFactoryOptions } = await import(`${sdk}/client`);
const { GrpcTransportFactory } = await import(`${sdk}/client/grpc`);

const WEBHOOK = 'http://127.0.0.1:9/webhook';
const RETRY_MILLISECONDS = 50;
const OPERATION_SECONDS = 60;

function message(text, { atOnce = false } = {}) {
  const shared = { messageId: randomUUID() };
  if (isOld) {
    const sent = { ...shared, kind: 'message', role: 'user', parts: [{ kind: 'text', text }] };
    return { message: sent, configuration: { blocking: !atOnce } };
  }
  const content = { content: { $case: 'text', value: text }, filename: '', mediaType: '' };
  return {
    tenant: '',
    message: { ...shared, contextId: '', taskId: '', role: 1, parts: [content], extensions: [], referenceTaskIds: [] },
    configuration: { acceptedOutputModes: [], returnImmediately: atOnce },
  };
}

function textOf(artifact) {
  return artifact.parts.map((part) => (isOld ? part.text : part.content.value)).join('');
}

const STATES = ['unknown', 'submitted', 'working', 'completed', 'failed', 'canceled', 'input-required'];

function stateOf(status) {
  return isOld ? status.state : STATES[status.state];
}

// A task, or an event of one, in the form of both versions.
function read(event) {
  const artifacts = [...(event.artifacts ?? []), ...(event.artifact ? [event.artifact] : [])];
  const state = event.status ? stateOf(event.status) : '';
  return { id: event.id ?? event.taskId, state, text: artifacts.map(textOf).join('') };
}

function isUnderWay({ state }) {
  return state === 'submitted' || state === 'working';
}

// Waits until a task is over that its agent answered at once.
async function follow(client, task) {
  while (isUnderWay(task)) {
    await sleep(RETRY_MILLISECONDS);
    task = read(await client.getTask({ tenant: '', id: task.id }));
  }
  return task;
}

async function openTask({ client, habits }) {
  return (await client.sendMessage(message('wait', { atOnce: habits.includes('holds_answer') }))).id;
}

// Cancels a task, as soon as the agent that fetches its messages has returned the message.
async function cancelOpen(client, id) {
  for (;;) {
    try {
      return read(await client.cancelTask({ tenant: '', id }));
    } catch (error) {
      if (!NOT_CANCELABLE.has(reasonOf(error))) throw error;
      await sleep(RETRY_MILLISECONDS);
    }
  }
}

async function end({ client, habits }, id) {
  return habits.includes('ignores_cancel') ? client.sendMessage(message('release')) : cancelOpen(client, id);
}

function events(stream) {
  return isOld ? stream : mapPayloads(stream);
}

async function* mapPayloads(stream) {
  for await (const event of stream) {
    yield event.payload.value;
  }
}

async function openWithConfig(agent) {
  const { client } = agent;
  const taskId = await openTask(agent);
  const config = isOld
    ? await client.setTaskPushNotificationConfig({ taskId, pushNotificationConfig: { id: 'p', url: WEBHOOK } })
    : await client.createTaskPushNotificationConfig({ tenant: '', taskId, id: 'p', url: WEBHOOK, token: '' });
  return [taskId, config];
}

function configOf(taskId) {
  return isOld ? { id: taskId, pushNotificationConfigId: 'p' } : { tenant: '', taskId, id: 'p' };
}

const operations = {
  async send({ client }) {
    const task = await follow(client, read(await client.sendMessage(message('hello'))));
    return task.state === 'completed' && task.text === 'hello';
  },
  async stream({ client }) {
    let [hasText, last] = [false, ''];
    for await (const event of events(client.sendMessageStream(message('hello')))) {
      const { state, text } = read(event);
      hasText ||= text === 'hello';
      last = state || last;
    }
    return hasText && last === 'completed';
  },
  async get(agent) {
    const id = await openTask(agent);
    const task = read(await agent.client.getTask({ tenant: '', id }));
    return task.id === id && (task.state === 'input-required' || isUnderWay(task));
  },
  async list(agent) {
    const id = await openTask(agent);
    const { tasks } = await agent.client.listTasks({ tenant: '', contextId: '', status: 0, pageToken: '' });
    return tasks.some((task) => task.id === id);
  },
  async subscribe(agent) {
    const id = await openTask(agent);
    let [last, ended] = ['', null];
    for await (const event of events(agent.client.resubscribeTask({ tenant: '', id }))) {
      ended ??= end(agent, id);
      last = read(event).state || last;
    }
    await ended;
    return last === (agent.habits.includes('ignores_cancel') ? 'completed' : 'canceled') || 'ends early';
  },
  async cancel(agent) {
    const task = await cancelOpen(agent.client, await openTask(agent));
    return agent.habits.includes('ignores_cancel') ? isUnderWay(task) : task.state === 'canceled';
  },
  async 'push set'(agent) {
    const [, config] = await openWithConfig(agent);
    return JSON.stringify(config).includes(WEBHOOK);
  },
  async 'push get'(agent) {
    const { client } = agent;
    const [taskId] = await openWithConfig(agent);
    return JSON.stringify(await client.getTaskPushNotificationConfig(configOf(taskId))).includes(WEBHOOK);
  },
  async 'push list'(agent) {
    const { client } = agent;
    const [taskId] = await openWithConfig(agent);
    const query = isOld ? { id: taskId } : { tenant: '', taskId, pageSize: 0, pageToken: '' };
    return JSON.stringify(await client.listTaskPushNotificationConfig(query)).includes(WEBHOOK);
  },
  async 'push delete'(agent) {
    const { client } = agent;
    const [taskId] = await openWithConfig(agent);
    await client.deleteTaskPushNotificationConfig(configOf(taskId));
    return true;
  },
  async card({ client }) {
    return Boolean((await client.getAgentCard()).name);
  },
};

const NOT_CANCELABLE = new Set(['-32002', 'TASK_NOT_CANCELABLE']);

// Returns the code of an error or its reason, which is the name of its class: `RestTaskNotFoundError`.
function reasonOf(error) {
  const code = error.errorResponse?.error.code ?? error.message.match(/\(Code: (-\d+)\)/)?.[1];
  const name = error.constructor.name.match(/^(?:JsonRpc|Rest|Grpc)?(\w+)Error$/)?.[1];
  if (code !== undefined || name === undefined) {
    return code === undefined ? `broken: ${error.message}` : String(code);
  }
  return name.replace(/\B[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

async function connect({ url, grpc }) {
  const transports = [...ClientFactoryOptions.default.transports, new GrpcTransportFactory()];
  const options = { ...ClientFactoryOptions.default, transports, preferredTransports: [binding] };
  const factory = new ClientFactory(options);
  if (!grpc) {
    return factory.createFromUrl(url);
  }
  const card = await (await fetch(`${url}.well-known/agent-card.json`)).json();
  return factory.createFromAgentCard({ ...card, url: grpc, preferredTransport: binding, additionalInterfaces: [] });
}

async function tryOne(agent, attempt) {
  try {
    const result = await Promise.race([attempt(agent), sleep(OPERATION_SECONDS * 1000, 'too slow', { ref: false })]);
    return result === true ? 'ok' : result || 'wrong';
  } catch (error) {
    return targets[agent.name].grpc ? `broken: ${error.message}` : reasonOf(error);
  }
}

async function tryAll(name) {
  const agent = { name, client: await connect(targets[name]), habits: targets[name].habits };
  const found = {};
  for (const [operation, attempt] of Object.entries(operations)) {
    if (isOld && operation === 'list') continue;
    found[operation] = await tryOne(agent, attempt);
  }
  return [name, found];
}

const found = await Promise.all(Object.keys(targets).map(tryAll));
process.stdout.write(JSON.stringify(Object.fromEntries(found)), () => process.exit(0));
