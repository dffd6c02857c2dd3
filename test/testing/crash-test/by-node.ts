// Run by node:test, in a process without vitest: see node-test.test.ts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CrashTestFailure, type CrashWorld, crashTest } from '../../../src/testing/crash-test/index.ts'
import { oneInvoiceEach, rightShop } from './support.ts'

const counting =
  (remembers: boolean) =>
  (world: CrashWorld): string[] => {
    const mails: string[] = []
    world.service('shop', (own) => {
      own.serve('place', async (order: string) => {
        await own.step('mailer.send', () => (remembers && mails.includes(order) ? 0 : mails.push(order))) // the line
      })
    })
    world.client('customer', async (own) => {
      for (let attempt = 0; attempt < 9; attempt++)
        if ((await own.call('shop', 'place', 'A-1').catch(() => 'lost')) === 'lost') await own.sleep(50)
        else return
    })
    return mails
  }

const once = (mails: readonly string[]): void => assert.equal(new Set(mails).size, mails.length)

test('passes a right program', async () => {
  await crashTest(counting(true), once, { schedules: 200 })
  await crashTest(rightShop(), oneInvoiceEach, { schedules: 20 })
})

test('finds what is wrong, and where', async () => {
  await assert.rejects(crashTest(counting(false), once), (error: CrashTestFailure) => {
    assert.equal(error.name, 'CrashTestFailure')
    assert.match(error.story, /by-node\.ts:\d+:\d+\)? {2}await own\.step\('mailer\.send'.* \/\/ the line/)
    return true
  })
})
