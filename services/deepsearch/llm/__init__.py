"""The mind behind a model: any server that speaks OpenAI's chat completions.

`client` asks and counts, `answers` reads what comes back, `prompts` are our words, `mind` thinks.
What pages say stands between fences that no page can guess, and is never an instruction.
"""
