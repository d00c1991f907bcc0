// Twenty-three questions entered through visible controls: the page says what the command line says, to the byte.
import { answer, chooseModel, enter, fromCommandLine, sameAnswer } from "./actions.mjs";
import { answerOf, openPage, test } from "./lib/harness.mjs";
import { scenarios } from "./scenarios.mjs";

for (const { name, request, typed } of scenarios) {
  test(`the page answers as the command line: ${name}`, async () => {
    const page = await openPage();
    if (typed) await chooseModel(page, "");
    await enter(page, request);
    const printed = await answerOf(["calculate", "--config", "-", "--format", "json"], JSON.stringify(request));
    sameAnswer(await answer(page), fromCommandLine(JSON.parse(printed)), name);
  });
}
