// A list is read page by page: each answer's Link header says where the next one begins.

import { type Api, given, header, type Query, type Task } from "./client.js";

/** The pages of a list, until there is no next one. */
export async function* pagesOf(api: Api, query: Query): AsyncGenerator<Task[]> {
  let asked: Query | undefined = query;
  while (asked !== undefined) {
    const answer = await api.GET("/tasks", { params: { query: asked } });
    yield given(answer);
    const cursor = nextCursor(answer.response);
    asked = cursor === undefined ? undefined : { ...query, cursor };
  }
}

/** All tasks of a list. */
export async function allTasks(api: Api, query: Query): Promise<Task[]> {
  const tasks: Task[] = [];
  for await (const page of pagesOf(api, query)) {
    tasks.push(...page);
  }
  return tasks;
}

function nextCursor(response: Response): string | undefined {
  const link = /<([^>]*)>; rel="next"/.exec(header(response, "Link") ?? "")?.[1];
  return link === undefined ? undefined : new URL(link, response.url).searchParams.get("cursor") ?? undefined;
}
