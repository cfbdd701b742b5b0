// The official JavaScript clients: `node client.mjs VERSION BINDING {"<agent>": "<base URL>", ...}`, VERSION 0.3 or 1.3,
// BINDING JSONRPC or HTTP+JSON.
//
// Each finds its agent by the card at the base URL, tries every operation, and prints what came of it: `ok`, or the code
// or the reason of the error. It tries all agents at once.

import { randomUUID } from 'node:crypto';

const [version, binding, agents] = [process.argv[2], process.argv[3], JSON.parse(process.argv[4])];
const isOld = version === '0.3';
const { ClientFactory, ClientFactoryOptions } = await import(isOld ? 'sdk-0.3/client' : 'sdk-1.3/client');

const WEBHOOK = 'http://127.0.0.1:9/webhook';

function message(text) {
  const shared = { messageId: randomUUID() };
  if (isOld) {
    return { message: { ...shared, kind: 'message', role: 'user', parts: [{ kind: 'text', text }] } };
  }
  const content = { content: { $case: 'text', value: text }, filename: '', mediaType: '' };
  return {
    tenant: '',
    message: { ...shared, contextId: '', taskId: '', role: 1, parts: [content], extensions: [], referenceTaskIds: [] },
  };
}

function textOf(artifact) {
  return artifact.parts.map((part) => (isOld ? part.text : part.content.value)).join('');
}

const STATES = ['unknown', 'submitted', 'working', 'completed', 'failed', 'canceled', 'input-required'];

function stateOf(status) {
  return isOld ? status.state : STATES[status.state];
}

async function openTask(client) {
  return (await client.sendMessage(message('wait'))).id;
}

function events(stream) {
  return isOld ? stream : mapPayloads(stream);
}

async function* mapPayloads(stream) {
  for await (const event of stream) {
    yield event.payload.value;
  }
}

async function openWithConfig(client) {
  const taskId = await openTask(client);
  const config = isOld
    ? await client.setTaskPushNotificationConfig({ taskId, pushNotificationConfig: { id: 'p', url: WEBHOOK } })
    : await client.createTaskPushNotificationConfig({ tenant: '', taskId, id: 'p', url: WEBHOOK, token: '' });
  return [taskId, config];
}

function configOf(taskId) {
  return isOld ? { id: taskId, pushNotificationConfigId: 'p' } : { tenant: '', taskId, id: 'p' };
}

const operations = {
  async send(client) {
    const task = await client.sendMessage(message('hello'));
    return stateOf(task.status) === 'completed' && task.artifacts.map(textOf).join('') === 'hello';
  },
  async stream(client) {
    let [text, state] = ['', ''];
    for await (const event of events(client.sendMessageStream(message('hello')))) {
      text += event.artifact ? textOf(event.artifact) : '';
      state = event.status ? stateOf(event.status) : state;
    }
    return text === 'hello' && state === 'completed';
  },
  async get(client) {
    const id = await openTask(client);
    return (await client.getTask({ tenant: '', id })).id === id;
  },
  async list(client) {
    const id = await openTask(client);
    const { tasks } = await client.listTasks({ tenant: '', contextId: '', status: 0, pageToken: '' });
    return tasks.some((task) => task.id === id);
  },
  async subscribe(client) {
    const id = await openTask(client);
    let [state, canceled] = ['', null];
    for await (const event of events(client.resubscribeTask({ tenant: '', id }))) {
      canceled ??= client.cancelTask({ tenant: '', id });
      state = event.status ? stateOf(event.status) : state;
    }
    await canceled;
    return state === 'canceled' || 'ends early';
  },
  async cancel(client) {
    return stateOf((await client.cancelTask({ tenant: '', id: await openTask(client) })).status) === 'canceled';
  },
  async 'push set'(client) {
    const [, config] = await openWithConfig(client);
    return JSON.stringify(config).includes(WEBHOOK);
  },
  async 'push get'(client) {
    const [taskId] = await openWithConfig(client);
    return JSON.stringify(await client.getTaskPushNotificationConfig(configOf(taskId))).includes(WEBHOOK);
  },
  async 'push list'(client) {
    const [taskId] = await openWithConfig(client);
    const query = isOld ? { id: taskId } : { tenant: '', taskId, pageSize: 0, pageToken: '' };
    return JSON.stringify(await client.listTaskPushNotificationConfig(query)).includes(WEBHOOK);
  },
  async 'push delete'(client) {
    const [taskId] = await openWithConfig(client);
    await client.deleteTaskPushNotificationConfig(configOf(taskId));
    return true;
  },
  async card(client) {
    return Boolean((await client.getAgentCard()).name);
  },
};

// Returns the code of an error or its reason, which is the name of its class: `RestTaskNotFoundError`.
function reasonOf(error) {
  const code = error.errorResponse?.error.code ?? error.message.match(/\(Code: (-\d+)\)/)?.[1];
  const name = error.constructor.name.match(/^(?:JsonRpc|Rest)?(\w+)Error$/)?.[1];
  if (code !== undefined || name === undefined) {
    return code === undefined ? `broken: ${error.message}` : String(code);
  }
  return name.replace(/\B[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

async function tryAll(url) {
  const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, { preferredTransports: [binding] });
  const client = await new ClientFactory(options).createFromUrl(url);
  const found = {};
  for (const [name, attempt] of Object.entries(operations)) {
    if (isOld && name === 'list') continue;
    try {
      const result = await attempt(client);
      found[name] = result === true ? 'ok' : result || 'wrong';
    } catch (error) {
      found[name] = reasonOf(error);
    }
  }
  return found;
}

const found = await Promise.all(Object.entries(agents).map(async ([name, url]) => [name, await tryAll(url)]));
process.stdout.write(JSON.stringify(Object.fromEntries(found)));
