// The process in which files are decoded that are about to be sent: one job, one answer, and it ends. What a hostile file
// makes of a decoder, it makes of a process that holds no keys, writes to one folder alone and can be killed.
// Knows nothing of people, keys or uploads.
import type { MediaAnswer, MediaJob } from './job.ts';
import { refused } from './job.ts';

// The same file gives the same bytes whenever it is prepared, so that an upload can go on where it broke off; and what leaves
// tells no time. Containers get their time and their serial numbers from these two: "not known" (1904) and a constant.
Date.now = () => -2_082_844_800_000;
Math.random = () => 0.5;

async function carryOut(job: MediaJob): Promise<MediaAnswer> {
  switch (job.kind) {
    case 'picture':
      return (await import('./picture.ts')).preparePicture(job.from, job.to, job.quality);
    case 'preview': {
      const preview = await (await import('./picture.ts')).previewOf(job.picture);
      return { kind: 'prepared', facts: { mediaType: '', ...preview } };
    }
    case 'video':
      return (await import('./video.ts')).prepareVideo(job.from, job.to);
    case 'voice':
      return (await import('./voice.ts')).prepareVoice(job.from, job.to);
  }
}

// The process that asked is gone.
process.once('disconnect', () => process.exit(1));
process.once('message', (job: MediaJob) => {
  void carryOut(job)
    .catch((error: unknown) => failure(job, error))
    .then(answer => process.send!(answer, () => process.exit(0)));
});

function failure(job: MediaJob, error: unknown): MediaAnswer {
  if (!(error instanceof Error)) return refused('it is broken');
  if ('syscall' in error && error.syscall === 'write') return refused('the copy', 'file-not-written');
  const others = job.kind === 'picture' ? ': other programs may make a JPEG or PNG of it' : '';
  return refused(`it is broken, or of a form that can’t be read here${others}`);
}
