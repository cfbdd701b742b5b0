"""
The adapters of this package. The module of each has a class `Adapter`; `molecule_agent.adapter_loader` names them.

options           reads the options of adapters from variables
instructions      the system prompt of a workspace
conversations     the messages of conversations, bounded in number and size
programs          runs a program, streams its output and kills its process group
command           the adapter of any program
claude_stream     parses the stream format of the `claude` program      pure
claude_code       the adapter of the `claude` program
model_limits      what the adapters of models may take
model_tools       runs the tools that a model calls
model_errors      turns errors of model providers into ends of turns
anthropic_models  the adapter of the Messages API
chat_chunks       joins the chunks of a chat completion      pure
openai_models     the adapter of the Chat Completions API
langgraph_graphs  the adapter of compiled graphs of LangGraph
a2a_agents        the adapter that fronts an existing A2A agent
"""
